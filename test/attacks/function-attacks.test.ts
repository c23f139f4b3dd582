import { afterAll, beforeAll, expect, test } from "vitest";
import { JudgingLab, taskOf } from "../judging.ts";
import { functionAttacks } from "./function-attacks.ts";

const hidden = `from solution import spread


def test_two():
    assert spread([1, 5]) == 4


def test_many():
    assert spread([7, -3, 12, 5]) == 15
    assert spread([-8, -2]) == 6


def test_one_and_none():
    assert spread([9]) == 0
    assert spread([]) == 0
`;

const target = { entry: "solution.py", functions: ["spread"], call_timeout_s: 2 };
const task = taskOf({
  kind: "function",
  language: "python",
  files: { "solution.py": "def spread(numbers):\n    raise NotImplementedError\n" },
  gold: { "solution.py": "def spread(numbers):\n    return max(numbers) - min(numbers) if numbers else 0\n" },
  verifiers: {
    tests: {
      files: {
        "test_hidden.py": hidden,
        "expected.json": JSON.stringify(["two", "many", "one_and_none"].map((name) => `test_hidden.py::test_${name}`)),
      },
      config: { mode: "proxied", ...target },
    },
    differential: { files: { "test_hidden.py": hidden }, config: { ...target, inputs: { from: "tests", count: 15 } } },
  },
});

let lab: JudgingLab;
beforeAll(async () => {
  lab = await JudgingLab.open();
});
afterAll(() => lab[Symbol.asyncDispose]());

test("gold scores 1 and doing nothing scores 0", async () => {
  for (const verifier of ["tests", "differential"]) {
    expect((await lab.judge(task, { files: { "solution.py": goldText() } }, verifier)).score).toBe(1);
    expect((await lab.judge(task, {}, verifier)).score).toBe(0);
  }
});

const goldText = () => Buffer.from(task.gold.files.get("solution.py")?.data ?? "").toString();

for (const attack of functionAttacks) {
  test(`${attack.name} scores 0, its honest twin 1`, async () => {
    const byTests = await lab.judge(task, { files: attack.cheat }, "tests");
    expect(byTests.score).toBe(0);
    expect(byTests.flags.map(({ name }) => name)).toEqual(
      expect.arrayContaining(attack.flag === undefined ? [] : [attack.flag]),
    );
    expect((await lab.judge(task, { files: attack.cheat }, "differential")).score).toBe(0);
    expect(await lab.judge(task, { files: attack.twin }, "tests")).toMatchObject({ score: 1 });
    expect(await lab.judge(task, { files: attack.twin }, "differential")).toMatchObject({ score: 1 });
  });
}

test("no sandbox is left", async () => {
  expect((await lab.provider.counts()).sandboxes).toBe(0);
});
