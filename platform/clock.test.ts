import { expect, test, vi } from "vitest";
import { steadyNow } from "./clock.ts";

test("goes on through a jump of the clock", () => {
  expect(Math.abs(steadyNow() - Date.now())).toBeLessThan(60_000);
  const before = steadyNow();
  const real = Date.now();
  const spy = vi.spyOn(Date, "now").mockReturnValue(real + 3_600_000);
  expect(steadyNow() - before).toBeLessThan(60_000);
  spy.mockReturnValue(real - 3_600_000);
  expect(steadyNow()).toBeGreaterThanOrEqual(before);
  expect(Number.isInteger(steadyNow())).toBe(true);
});
