import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Sandbox, SandboxProvider } from "../../core/sandbox.ts";
import type { Behaviour } from "./sandbox.ts";
import { leftovers } from "./sandbox-host.ts";
import { until } from "./sandbox-tools.ts";

export interface Suite {
  readonly name: string;
  readonly behaviours: readonly Behaviour[];
  /** What this tier cannot do, and why. One that it can do after all fails, too. */
  readonly exceptions: Readonly<Record<string, string>>;
  open(): Promise<SandboxProvider>;
  /** Told of every fresh sandbox before its behaviour, and of its end after it; what throws fails the test. */
  readonly around?: { fresh(sandbox: Sandbox): Promise<void>; after(): Promise<void> };
}

/** Runs a list of behaviours over one provider and asserts that nothing is left at the end. */
export function runSuite(suite: Suite): void {
  describe(suite.name, () => {
    let provider: SandboxProvider;
    let sandbox: Sandbox;
    beforeAll(async () => {
      provider = await suite.open();
    });
    beforeEach(async () => {
      sandbox = await provider.open({ image: "host", owner: "contract" });
      await suite.around?.fresh(sandbox);
    });
    afterEach(async () => {
      await sandbox.close();
      expect(await provider.counts()).toEqual({ sandboxes: 0, snapshots: 0, snapshotBytes: 0 });
      await suite.around?.after();
    });
    afterAll(async () => {
      await provider.close();
      await until("everything is gone", () => Object.values(leftovers()).every((count) => count === 0));
    });

    for (const behaviour of suite.behaviours) {
      const reason = suite.exceptions[behaviour.name];
      test(reason ? `cannot: ${behaviour.name} (${reason})` : behaviour.name, async () => {
        const run = behaviour.run({ provider, sandbox });
        await (reason ? expect(run).rejects.toThrow() : run);
      });
    }

    test("the list of exceptions names behaviours that exist", () => {
      const names = suite.behaviours.map((behaviour) => behaviour.name);
      for (const name of Object.keys(suite.exceptions)) expect(names).toContain(name);
    });
  });
}
