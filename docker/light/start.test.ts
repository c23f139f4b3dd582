import { constants } from "node:os";
import { expect, test } from "vitest";
import { endError } from "./start.ts";

const { SIGKILL, SIGSEGV } = constants.signals;
const bounded = { alive: true, abilities: { rootMode: true, groups: 15, cpus: 2 } };
const unbounded = { alive: true, abilities: { rootMode: false, groups: 0, cpus: 2 } };

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
