import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { GymError } from "../../core/errors.ts";
import { SubjectFault } from "../clean-room/subject-fault.ts";
import { FairTimer } from "./fair-timer.ts";

/** How the timer ends, and after how long, when the machine has withheld `waited()` ms in all. */
async function ending(timeoutMs: number, waited: () => number | null): Promise<{ error: Error; afterMs: number }> {
  const started = performance.now();
  const passed = Promise.withResolvers<Error>();
  const process = { waitedMs: () => Promise.resolve(waited()) };
  using _timer = new FairTimer({ process, timeoutMs, onPassed: passed.resolve });
  return { error: await passed.promise, afterMs: performance.now() - started };
}

test("time is up when nobody counts what the machine withheld", async () => {
  const { error, afterMs } = await ending(100, () => null);
  expect(error).toBeInstanceOf(SubjectFault);
  expect(error).toMatchObject({ flag: "timed_out", message: "no answer within 100 ms" });
  expect(afterMs).toBeGreaterThanOrEqual(99);
});

test("what was withheld before does not count, and what is withheld meanwhile is given back", async () => {
  const answers = [7_000, 7_100, 7_160, 7_160];
  const { error, afterMs } = await ending(100, () => answers.shift() ?? Number.NaN);
  expect(error).toBeInstanceOf(SubjectFault);
  expect(answers).toEqual([]);
  expect(afterMs).toBeGreaterThanOrEqual(259);
});

test("a machine that withholds ever more is our failure, not the subject's", async () => {
  const started = performance.now();
  const { error } = await ending(40, () => performance.now() - started);
  expect(error).toBeInstanceOf(GymError);
  expect(error).toMatchObject({ code: "verifier_failed" });
});

test("an answer that is read while the timer asks is in time", async () => {
  let told = 0;
  const asked = Promise.withResolvers<void>();
  const process = {
    waitedMs: async () => {
      asked.resolve();
      await delay(20);
      return 0;
    },
  };
  {
    using _timer = new FairTimer({ process, timeoutMs: 4, onPassed: () => told++ });
    await asked.promise;
  }
  await delay(60);
  expect(told).toBe(0);
});
