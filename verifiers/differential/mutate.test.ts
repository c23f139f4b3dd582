import { expect, test } from "vitest";
import type { Json } from "../../core/json.ts";
import { isTyped } from "../calls/typed-value.ts";
import { Mutator } from "./mutate.ts";
import { readPinned } from "./pinned.ts";
import { seededRandom } from "./random.ts";

const args: Json[] = [
  [1, 2, 3],
  "ab cd",
  { $float: "1.5" },
  { $tuple: [true, null, "x"] },
  { $dict: [[1, [2]]] },
  { a: 1, b: { c: "d" } },
  { $set: [1, 2] },
  {},
  [],
  { $tuple: [] },
];

const mutants = (seed: number) => {
  const mutator = new Mutator(seededRandom(seed), args);
  return Array.from({ length: 500 }, () => mutator.mutate(args));
};

test("mutants are typed JSON, keep their types, and most differ from the original", () => {
  const made = mutants(5);
  const typeOf = (value: Json) =>
    value === null || typeof value !== "object" || Array.isArray(value)
      ? `${typeof value} ${Array.isArray(value)}`
      : (Object.keys(value)[0]?.startsWith("$") ?? false) && Object.keys(value)[0];
  for (const mutant of made) {
    expect(isTyped(mutant)).toBe(true);
    expect(mutant.slice(0, 5).map(typeOf)).toEqual(args.slice(0, 5).map(typeOf));
  }
  expect(new Set(made.map((mutant) => JSON.stringify(mutant))).size).toBeGreaterThan(150);
});

test("a seed gives the same mutants again, another seed gives others", () => {
  expect(mutants(5)).toEqual(mutants(5));
  expect(mutants(5)).not.toEqual(mutants(6));
  expect(mutants(2 ** 32 + 5)).not.toEqual(mutants(5));
});

test("pinned inputs keep floating-point and large numbers apart from small whole ones", () => {
  const text = '[{"args": [1, 1.0, -2e3, 12345678901234567890, "1.0", {"a": 3}]}, {"function": "g", "stdin": "x"}]';
  expect(readPinned(new Map([["pinned.json", { data: Buffer.from(text), mode: 0o644 }]]))).toEqual([
    {
      function: null,
      args: [1, { $float: "1.0" }, { $float: "-2e3" }, { $int: "0xab54a98ceb1f0ad2" }, "1.0", { a: 3 }],
      stdin: "",
      files: {},
    },
    { function: "g", args: [], stdin: "x", files: {} },
  ]);
  expect(readPinned(new Map())).toEqual([]);
  expect(readPinned(new Map([["pinned.json", { data: Buffer.from("[1"), mode: 0o644 }]]))).toContain("pinned.json:");
});
