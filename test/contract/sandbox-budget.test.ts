import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Sandbox, SandboxProvider } from "../../core/sandbox.ts";
import { openProvider } from "../../docker/catalog.ts";
import { codeOf } from "./sandbox-tools.ts";

/** Memory of frozen states outlives the limits of the sandboxes that filled it: it has a bound of its own. */
const BUDGET = 4_000_000;
const PART = Buffer.alloc(3_000_000, "x");
const home = join(import.meta.dirname, "../../.polygym/test");
mkdirSync(home, { recursive: true });

let provider: SandboxProvider;
beforeAll(async () => {
  provider = await openProvider({ tier: "light", home, snapshotBytes: BUDGET });
});
afterAll(() => provider?.close());

async function filled(): Promise<Sandbox> {
  const sandbox = await provider.open({ image: "host", owner: "budget" });
  expect((await sandbox.write("part", PART)).ok).toBe(true);
  return sandbox;
}

test("a freeze waits for room, is refused without any, and leaves its sandbox open", async () => {
  const held = await (await filled()).freeze();
  expect((await provider.counts()).snapshotBytes).toBeGreaterThanOrEqual(PART.length);
  await using second = await filled();
  expect(await codeOf(second.freeze())).toBe("sandbox_unavailable");
  expect((await provider.counts()).snapshotBytes).toBeLessThan(BUDGET);
  expect((await second.exec({ argv: ["cat", "part"], timeoutMs: 20_000 })).stdoutBytes).toBe(PART.length);
  await using optional = await provider.open({ image: "host", owner: "budget" });
  await optional.write("part", PART.subarray(0, 500_000));
  const asked = performance.now();
  expect(await codeOf(optional.freeze({ optional: true }))).toBe("sandbox_unavailable");
  expect(performance.now() - asked).toBeLessThan(5_000);
  await optional.close();
  const waiting = second.freeze();
  await provider.release(held);
  const frozen = await waiting;
  await provider.release(frozen);
  expect(await provider.counts()).toEqual({ sandboxes: 0, snapshots: 0, snapshotBytes: 0 });
});
