import { expect, test } from "vitest";
import { Saver } from "./saving.ts";

test("a save is due after so many steps", () => {
  const saver = new Saver({ steps: 3, ms: 1_000, inPlace: true }, () => 0);
  expect([saver.countStep(), saver.countStep(), saver.countStep()]).toEqual([false, false, true]);
});

test("a save is due after a step that ends late", () => {
  let now = 0;
  const saver = new Saver({ steps: 100, ms: 1_000, inPlace: true }, () => now);
  expect(saver.countStep()).toBe(false);
  now = 1_000;
  expect(saver.countStep()).toBe(true);
});

test("turns are longer where a save copies the files", () => {
  const saver = new Saver({ steps: 3, ms: 1_000, inPlace: false }, () => 0);
  const due = Array.from({ length: 30 }, () => saver.countStep());
  expect(due.indexOf(true)).toBe(29);
});
