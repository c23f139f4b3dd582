import { expect, test } from "vitest";
import { FairTimer } from "./fair-timer.ts";

/** After how long the time of a program is up, when the machine has withheld `waited()` ms in all. */
async function passedAfter(timeoutMs: number, waited: () => number | null): Promise<number> {
  const started = performance.now();
  const passed = Promise.withResolvers<void>();
  const process = { waitedMs: () => Promise.resolve(waited()) };
  using _timer = new FairTimer({ process, timeoutMs, onPassed: passed.resolve });
  await passed.promise;
  return performance.now() - started;
}

test("time is up when nobody counts what the machine withheld", async () => {
  expect(await passedAfter(100, () => null)).toBeGreaterThanOrEqual(99);
});

test("what was withheld before does not count, and what is withheld meanwhile is given back", async () => {
  const answers = [7_000, 7_100, 7_160, 7_160];
  expect(await passedAfter(100, () => answers.shift() ?? Number.NaN)).toBeGreaterThanOrEqual(259);
  expect(answers).toEqual([]);
});

test("a machine that withholds ever more gives three times the time-out and no more", async () => {
  let all = 0;
  let asked = 0;
  const after = await passedAfter(40, () => {
    asked++;
    all += 50;
    return all;
  });
  expect(after).toBeGreaterThanOrEqual(159);
  expect(asked).toBe(5); // once for what was before, then 50, 50, 20 and nothing more
});

test("what this process itself was late is given back", async () => {
  const started = performance.now();
  const passed = passedAfter(100, () => null);
  const heldUpUntil = started + 300;
  while (performance.now() < heldUpUntil);
  expect(await passed).toBeGreaterThanOrEqual(374); // three quarters of it were still to come
});

test("an answer that is read while the timer asks is in time", async () => {
  let told = 0;
  const asked = Promise.withResolvers<void>();
  const reply = Promise.withResolvers<number>();
  const process = {
    waitedMs: () => {
      asked.resolve();
      return reply.promise;
    },
  };
  {
    using _timer = new FairTimer({ process, timeoutMs: 4, onPassed: () => told++ });
    await asked.promise;
  }
  reply.resolve(0);
  await passedAfter(20, () => null); // the first one's time is long over by then
  expect(told).toBe(0);
});
