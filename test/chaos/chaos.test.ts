import { expect, test } from "vitest";
import { FAULTS, NOT_INJECTED } from "../../bench/chaos/faults.ts";
import { runRow } from "../../bench/chaos/row.ts";

/**
 * The most telling faults of `polygym bench chaos`, with a fixed seed: whole processes, a real Redis, real sandboxes, a
 * workload of trainers and scripts, and then the seven invariants by what is in the store and on the machine.
 */
const SEED = "20261125";
const EPISODES = 16;
const DEADLINE_MS = 240_000;
/** A worker that is killed on the same machine: its episodes go on by then, on a machine that tests share. */
const RECOVERED_MS = 30_000;

const ROWS = ["kill_mid_exec", "kill_after_commit", "redis_erased", "disk_full", "light_host_killed", "clients_vanish"];

for (const name of ROWS) {
  const fault = FAULTS.find((one) => one.name === name);
  if (fault === undefined) throw new Error(`there is no fault ${name}`);
  test(`${name}: ${fault.expect}`, { timeout: DEADLINE_MS }, async () => {
    // How quick calls are is measured by the benchmark, on a machine that it has for itself.
    const result = await runRow({ fault: { ...fault, callsWithinMs: null }, seed: SEED, episodes: EPISODES, times: 1 });
    expect(result.violations).toEqual([]);
    expect(result.injected).toBe(1);
    expect(result.episodes).toBeGreaterThanOrEqual(EPISODES);
    expect(result.recovered).toBeGreaterThan(0);
    expect(result.recovered_ms.max).toBeLessThan(RECOVERED_MS);
  });
}

test("every row of the table of faults is injected or has its reason", () => {
  const rows = new Set([...FAULTS, ...NOT_INJECTED].map(({ row }) => row));
  expect([...rows].sort((a, b) => a - b)).toEqual(Array.from({ length: 23 }, (_, row) => row));
  expect(new Set(FAULTS.map((fault) => fault.name)).size).toBe(FAULTS.length);
});
