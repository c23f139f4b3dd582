import fc from "fast-check";
import { expect, test } from "vitest";
import { matcher } from "./jobs.ts";

test("a star stands for any characters, and the pattern covers the whole id", () => {
  expect(matcher("demo/*")("demo/bank")).toBe(true);
  expect(matcher("demo/*")("other/demo/bank")).toBe(false);
  expect(matcher("*bank*")("demo/bank-ledger")).toBe(true);
  expect(matcher("a*a")("a")).toBe(false);
  expect(matcher("demo/bank")("demo/bank2")).toBe(false);
  expect(matcher("demo.*")("demo/x")).toBe(false);
});

test("agrees with the regular expression that says the same", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", "/"), maxLength: 12 });
  const pattern = fc.string({ unit: fc.constantFrom("a", "b", "/", "*"), maxLength: 8 });
  fc.assert(
    fc.property(pattern, text, (glob, id) => {
      expect(matcher(glob)(id)).toBe(new RegExp(`^${glob.replaceAll("*", ".*")}$`).test(id));
    }),
  );
});
