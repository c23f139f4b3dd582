import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Sandbox, SandboxProvider } from "../../core/sandbox.ts";
import { openProvider } from "../../docker/catalog.ts";
import { sandboxBehaviours } from "./sandbox.ts";
import { leftovers } from "./sandbox-host.ts";
import { lightBehaviours } from "./sandbox-light.ts";
import { until } from "./sandbox-tools.ts";

const home = join(import.meta.dirname, "../../.polygym/test");
mkdirSync(home, { recursive: true });

/** What a tier cannot do, and why. An entry that passes after all is an error too. */
const exceptions: Record<string, Record<string, string>> = {
  light: {},
  fake: {},
};

for (const tier of ["light", "fake"] as const) {
  describe(`sandbox contract: ${tier}`, () => {
    let provider: SandboxProvider;
    let sandbox: Sandbox;
    beforeAll(async () => {
      provider = await openProvider({ tier, home });
    });
    beforeEach(async () => {
      sandbox = await provider.open({ image: "host", owner: "contract" });
    });
    afterEach(async () => {
      await sandbox.close();
      expect(await provider.counts()).toEqual({ sandboxes: 0, snapshots: 0 });
    });
    afterAll(async () => {
      await provider.close();
      await until("everything is gone", () => Object.values(leftovers()).every((count) => count === 0));
    });

    for (const behaviour of [...sandboxBehaviours, ...(tier === "light" ? lightBehaviours : [])]) {
      const reason = exceptions[tier]?.[behaviour.name];
      test(reason ? `cannot: ${behaviour.name} (${reason})` : behaviour.name, async () => {
        const run = behaviour.run({ provider, sandbox });
        await (reason ? expect(run).rejects.toThrow() : run);
      });
    }
  });
}
