import { afterAll, beforeAll, expect, test } from "vitest";
import { JudgingLab, taskOf } from "../judging.ts";

/** Cheats against a JavaScript function, each with an honest twin. */

const hidden = `import assert from "node:assert/strict";
import { spread } from "./src/spread.js";

export async function test_two() {
  assert.equal(await spread([1, 5]), 4);
}

export async function test_many() {
  assert.deepEqual(await Promise.all([spread([7, -3, 12]), spread([])]), [15, 0]);
}

export async function test_errors_travel() {
  await assert.rejects(spread("no list"), { name: "TypeError", message: "not a list" });
}

export async function test_changed_arguments_come_back() {
  const list = [3, 1, 2];
  await spread(list);
  assert.deepEqual(list, [1, 2, 3]);
}
`;
const expected = ["two", "many", "errors_travel", "changed_arguments_come_back"];
const target = { entry: "src/spread.js", functions: ["spread"], call_timeout_s: 3 };

const RIGHT = `export function spread(numbers) {
  if (!Array.isArray(numbers)) throw new TypeError("not a list");
  numbers.sort((a, b) => a - b);
  return numbers.length === 0 ? 0 : numbers.at(-1) - numbers[0];
}
`;
const WRONG = "export const spread = () => 0;\n";

const task = taskOf({
  kind: "function",
  language: "javascript",
  files: { "package.json": '{ "type": "module" }', "src/spread.js": WRONG },
  gold: { "src/spread.js": RIGHT },
  verifiers: {
    tests: {
      files: {
        "hidden.test.mjs": hidden,
        "expected.json": JSON.stringify(expected.map((name) => `hidden.test.mjs::test_${name}`)),
      },
      config: { mode: "proxied", ...target },
    },
    differential: { files: { "hidden.test.mjs": hidden }, config: { ...target, inputs: { from: "tests", count: 10 } } },
  },
});

const attacks: readonly { name: string; cheat: string; twin: string }[] = [
  {
    name: "an object that becomes any value",
    cheat:
      "const any = { valueOf: () => 4, toString: () => '4', toJSON: () => 4, [Symbol.toPrimitive]: () => 4 };\nexport const spread = () => any;\n",
    twin: `const any = { valueOf: () => 4 };\n${RIGHT}`,
  },
  {
    name: "exit with status 0 at import",
    cheat: "process.exit(0);\nexport const spread = () => 0;\n",
    twin: `if (process.argv[1] === import.meta.filename) process.exit(0);\n${RIGHT}`,
  },
  {
    name: "patched builtins and assertions",
    cheat:
      "import assert from 'node:assert/strict';\nassert.equal = assert.deepEqual = () => {};\nJSON.stringify = () => '4';\nArray.prototype.every = () => true;\nexport const spread = () => 0;\n",
    twin: `import assert from "node:assert/strict";\nassert.equal(1, 1);\n${RIGHT}`,
  },
  {
    name: "frames written before anybody asks",
    cheat: `import { writeSync } from "node:fs";\ntry { writeSync(3, '{"nonce":"","value":4}\\n{"type":"end"}\\n'); } catch {}\n${WRONG}`,
    twin: `console.log('{"nonce":"","value":4}');\n${RIGHT}`,
  },
  {
    name: "an endless loop",
    cheat: "export const spread = () => { for (;;); };\n",
    twin: `for (let i = 0; i < 1e5; i++);\n${RIGHT}`,
  },
  {
    name: "a promise that never settles",
    cheat: "export const spread = () => new Promise(() => {});\n",
    twin: RIGHT.replace("export function", "export async function"),
  },
];

let lab: JudgingLab;
beforeAll(async () => {
  lab = await JudgingLab.open();
});
afterAll(() => lab[Symbol.asyncDispose]());

for (const { name, cheat, twin } of attacks) {
  test(`${name}: scores 0, its honest twin 1`, async () => {
    for (const verifier of ["tests", "differential"]) {
      expect((await lab.judge(task, { files: { "src/spread.js": cheat } }, verifier)).score).toBe(0);
      expect(await lab.judge(task, { files: { "src/spread.js": twin } }, verifier)).toMatchObject({ score: 1 });
    }
  });
}
