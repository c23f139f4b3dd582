import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import * as z from "zod";
import { Json } from "../../core/json.ts";
import { type EqualityRules, isTyped, sameValue } from "./typed-value.ts";

const read = (name: string) => readFileSync(new URL(name, import.meta.url), "utf8");
const Vectors = z.record(z.enum(["python", "javascript"]), z.array(z.tuple([z.string(), Json])));
const vectors = Vectors.parse(JSON.parse(read("./typed-vectors.json")));
const strict: EqualityRules = { tolerance: 0, oneNumberType: false };

/** Encodes each expression, and encodes again what its form decodes to. */
function throughPython(): unknown {
  const program = `${read("./typed_json.py")}
import json, sys
rows = json.load(sys.stdin)
print(json.dumps([[encode(eval(source)), encode(decode(form))] for source, form in rows]))`;
  const run = spawnSync("/usr/bin/python3", ["-I", "-S", "-c", program], { input: JSON.stringify(vectors.python) });
  expect(run.stderr.toString()).toBe("");
  return JSON.parse(run.stdout.toString());
}

function throughJavaScript(): unknown {
  const program = `${read("./typed-json.mjs")}
const rows = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const both = rows.map(([source, form]) => [encode((0, eval)(source)), encode(decode(form))]);
process.stdout.write(JSON.stringify(both));`;
  const run = spawnSync(process.execPath, ["-e", program], { input: JSON.stringify(vectors.javascript) });
  expect(run.stderr.toString()).toBe("");
  return JSON.parse(run.stdout.toString());
}

test("Python values have the pinned forms and survive the way there and back", () => {
  expect(throughPython()).toEqual(vectors.python.map(([, form]) => [form, form]));
});

test("JavaScript values have the pinned forms and survive the way there and back", () => {
  expect(throughJavaScript()).toEqual(vectors.javascript.map(([, form]) => [form, form]));
});

test("every pinned form is typed JSON and equals itself, but for NaN", () => {
  const forms = [...vectors.python, ...vectors.javascript].map(([, form]) => form);
  expect(forms.length).toBeGreaterThan(40);
  for (const form of forms) {
    expect(isTyped(form)).toBe(true);
    expect(sameValue(form, form, strict)).toBe(JSON.stringify(form) !== '{"$float":"nan"}');
  }
});

test("all pairs of different pinned Python forms differ", () => {
  const forms = vectors.python.map(([, form]) => form);
  for (const [i, a] of forms.entries())
    for (const b of forms.slice(i + 1)) expect([a, b, sameValue(a, b, strict)]).toEqual([a, b, false]);
});

test("what is not typed JSON is refused", () => {
  const deep = JSON.parse(`${"[".repeat(1000)}${"]".repeat(1000)}`);
  const wrong = [
    1.5,
    2 ** 53,
    { $int: "5" },
    { $float: "1_0" },
    { $float: 1 },
    { $nothing: 1 },
    { $set: 1 },
    { $dict: [[1]] },
    { a: 1, $b: 2 },
    { $bytes: "?" },
    { $range: [1, 2] },
    { $undefined: false },
    undefined,
    deep,
  ];
  for (const value of wrong) expect([value, isTyped(value)]).toEqual([value, false]);
});

test("sets and dictionaries compare in any order, lists do not", () => {
  expect(sameValue({ $set: [1, 2] }, { $set: [2, 1] }, strict)).toBe(true);
  expect(sameValue({ $set: [1, 2] }, { $set: [2, 3] }, strict)).toBe(false);
  expect(
    sameValue(
      {
        $dict: [
          [1, "a"],
          [2, "b"],
        ],
      },
      {
        $dict: [
          [2, "b"],
          [1, "a"],
        ],
      },
      strict,
    ),
  ).toBe(true);
  expect(sameValue({ a: 1, b: [2] }, { b: [2], a: 1 }, strict)).toBe(true);
  expect(sameValue({ a: 1 }, { $dict: [["a", 1]] }, strict)).toBe(true);
  expect(sameValue({ a: 1 }, { $map: [["a", 1]] }, strict)).toBe(false);
  expect(sameValue([1, 2], [2, 1], strict)).toBe(false);
});

test("types count: True is no 1, 1 is no 1.0, a list is no tuple", () => {
  expect(sameValue(true, 1, strict)).toBe(false);
  expect(sameValue(1, { $float: "1.0" }, strict)).toBe(false);
  expect(sameValue([1], { $tuple: [1] }, strict)).toBe(false);
  expect(sameValue("1", 1, strict)).toBe(false);
});

test("a tolerance compares numbers of both types by value", () => {
  const near: EqualityRules = { tolerance: 1e-6, oneNumberType: false };
  expect(sameValue(1, { $float: "1.0" }, near)).toBe(true);
  expect(sameValue({ $float: "1000000.0" }, { $float: "1000000.5" }, near)).toBe(true);
  expect(sameValue([{ $float: "0.3" }], [{ $float: "0.30000000000000004" }], near)).toBe(true);
  expect(sameValue({ $set: [{ $float: "0.3" }] }, { $set: [{ $float: "0.30000000000000004" }] }, near)).toBe(true);
  expect(sameValue({ $float: "1.0" }, { $float: "1.1" }, near)).toBe(false);
  expect(sameValue(5, 6, { ...near, tolerance: 10 })).toBe(false);
  expect(sameValue({ $float: "nan" }, { $float: "nan" }, near)).toBe(false);
  expect(sameValue({ $float: "inf" }, { $float: "1e+308" }, near)).toBe(false);
});

test("JavaScript's zero has no sign", () => {
  expect(sameValue(0, { $float: "-0.0" }, { tolerance: 0, oneNumberType: true })).toBe(true);
  expect(sameValue(1, { $bigint: "0x1" }, { tolerance: 0, oneNumberType: true })).toBe(false);
});
