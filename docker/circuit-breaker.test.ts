import { expect, test } from "vitest";
import { CircuitBreaker } from "./circuit-breaker.ts";

function breakerAt(clock: { now: number }): CircuitBreaker {
  return new CircuitBreaker({ failures: 2, coolMs: 100, now: () => clock.now });
}

test("lets calls pass until failures follow one another", () => {
  const breaker = breakerAt({ now: 0 });
  breaker.fail();
  breaker.succeed();
  breaker.fail();
  expect(breaker.enter()).toBe(true);
  breaker.fail();
  expect(breaker.enter()).toBe(false);
});

test("lets exactly one call try after the pause, and closes when it works", () => {
  const clock = { now: 0 };
  const breaker = breakerAt(clock);
  breaker.fail();
  breaker.fail();
  clock.now = 99;
  expect(breaker.enter()).toBe(false);
  clock.now = 100;
  expect(breaker.enter()).toBe(true);
  expect(breaker.enter()).toBe(false);
  breaker.succeed();
  expect(breaker.enter()).toBe(true);
});

test("opens again at once when the trying call fails", () => {
  const clock = { now: 0 };
  const breaker = breakerAt(clock);
  breaker.fail();
  breaker.fail();
  clock.now = 150;
  breaker.enter();
  breaker.fail();
  expect(breaker.state).toEqual({ status: "open", until: 250 });
});
