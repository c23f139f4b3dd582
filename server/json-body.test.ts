import fc from "fast-check";
import { expect, test } from "vitest";
import { MAX_JSON_DEPTH, MAX_JSON_KEYS, parseJson } from "./json-body.ts";

test("reads any JSON that is not too deep", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 8 }), (value) => {
      const text = JSON.stringify(value);
      fc.pre(!text.includes("__proto__") && !text.includes("constructor"));
      expect(parseJson(text)).toEqual(JSON.parse(text));
    }),
  );
});

test("brackets inside strings are no depth", () => {
  expect(parseJson(JSON.stringify("[".repeat(1_000)))).toHaveLength(1_000);
  expect(parseJson('"\\"[[[["')).toBe('"[[[[');
});

test("refuses depth and keys that change prototypes", () => {
  const deep = (n: number) => "[".repeat(n) + "]".repeat(n);
  expect(() => parseJson(deep(MAX_JSON_DEPTH))).not.toThrow();
  expect(() => parseJson(deep(MAX_JSON_DEPTH + 1))).toThrow("deeper than");
  expect(() => parseJson('{"__proto__": 1}')).toThrow("not valid JSON");
  expect(() => parseJson('{"a": {"constructor": {"prototype": 1}}}')).toThrow("not valid JSON");
});

test("refuses more keys than any call needs, and takes long lists", () => {
  const keys = (n: number) => `{${Array.from({ length: n }, (_, i) => `"${i}":":"`).join(",")}}`;
  expect(Object.keys(Object(parseJson(keys(MAX_JSON_KEYS))))).toHaveLength(MAX_JSON_KEYS);
  expect(() => parseJson(keys(MAX_JSON_KEYS + 1))).toThrow("keys");
  expect(parseJson(JSON.stringify(Array.from({ length: 1_000_000 }, () => 1)))).toHaveLength(1_000_000);
});
