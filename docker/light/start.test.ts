import { mkdirSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { GymError } from "../../core/errors.ts";
import { hostImage } from "../image-host.ts";
import { buildLight } from "./build.ts";
import { HostProcess } from "./host-process.ts";
import { boundLimits, endError, startSandbox } from "./start.ts";

const home = join(import.meta.dirname, "../../.polygym/test");
mkdirSync(home, { recursive: true });

const { SIGKILL, SIGSEGV } = constants.signals;
const bounded = { alive: true, abilities: { rootMode: true, groups: 15, cpus: 2, ownIds: true } };
const unbounded = { alive: true, abilities: { rootMode: false, groups: 0, cpus: 2, ownIds: false } };

test.each([
  ["it ran out of memory", bounded, SIGKILL, true, "sandbox_killed"],
  ["it crashed", bounded, SIGSEGV, false, "sandbox_killed"],
  ["it ended", bounded, 0, false, "sandbox_killed"],
  ["it was killed, and nothing inside can", bounded, SIGKILL, false, "sandbox_lost"],
  ["it was killed where its programs may use up the machine's memory", unbounded, SIGKILL, false, "sandbox_killed"],
  ["its host ended", { ...bounded, alive: false }, SIGKILL, false, "sandbox_lost"],
])("a first process that ends because %s: whose doing it is", (_why, host, status, outOfMemory, code) => {
  expect(endError(host, { outOfMemory, status, reason: "" }).code).toBe(code);
});

const textOf = (path: string): string => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // it has ended
  }
};
const agentsOf = (host: number): number[] =>
  textOf(`/proc/${host}/task/${host}/children`)
    .split(" ")
    .map(Number)
    .filter((pid) => textOf(`/proc/${pid}/cmdline`).startsWith("agent"));

/** Waits without reading anything: this process does nothing else meanwhile. */
function holdUntil(what: string, isTrue: () => boolean): void {
  const deadline = performance.now() + 10_000;
  while (!isTrue()) if (performance.now() > deadline) throw new Error(`not within 10 s: ${what}`);
}

test("a sandbox whose end comes in one piece with its start fails, and nobody waits for it", async () => {
  const host = await HostProcess.start(await buildLight(home), [await hostImage({ home })]);
  try {
    const pid = host.pid ?? 0;
    const starting = startSandbox(host, { image: 0, limits: boundLimits(), layers: [] });
    holdUntil("its agent runs", () => agentsOf(pid).length > 0);
    for (const agent of agentsOf(pid)) process.kill(agent, "SIGKILL");
    holdUntil("the agent is gone", () => agentsOf(pid).length === 0);
    const told = performance.now() + 50;
    holdUntil("the host has told it", () => performance.now() > told);
    await expect(starting).rejects.toBeInstanceOf(GymError);
  } finally {
    await host.close();
  }
});
