import { afterAll, beforeAll, expect, test } from "vitest";
import type { JsonObject } from "../../core/json.ts";
import type { Task } from "../../core/task.ts";
import { Judgement } from "../../core/verifier.ts";
import { eligibleVerifiers, findVerifier, verifiers } from "../../verifiers/catalog.ts";
import { judgeSubmission } from "../../verifiers/clean-room/judge-submission.ts";
import { JudgingLab, type TaskParts, type Texts, taskOf } from "../judging.ts";

/** What every verifier promises, and whose fault is whose. */

const RIGHT = "def double(values):\n    for at, value in enumerate(values):\n        values[at] = value * 2\n";
const WRONG = "def double(values):\n    pass\n";
const MAIN =
  "import sys\nfrom solution import double\nvalues = [int(word) for word in sys.stdin.read().split()]\ndouble(values)\nprint(*values)\n";
const hidden = `from solution import double


def test_in_place():
    inner = [1]
    values = [3, 4]
    assert double(values) is None
    assert values == [6, 8]


def test_errors():
    try:
        double(5)
    except TypeError as error:
        assert "int" in str(error)
    else:
        assert False
`;
const target = { entry: "solution.py", functions: ["double"] };

const parts = {
  kind: "program",
  language: "python",
  files: { "solution.py": WRONG, "main.py": MAIN },
  gold: { "solution.py": RIGHT },
  verifiers: {
    tests: {
      files: {
        "test_hidden.py": hidden,
        "expected.json": '["test_hidden.py::test_in_place", "test_hidden.py::test_errors"]',
      },
      config: { mode: "proxied", ...target },
    },
    stdio: {
      files: { "cases/one.in": "1 2", "cases/one.out": "2 4" },
      config: { command: ["python3", "main.py"] },
    },
    differential: { files: { "test_hidden.py": hidden }, config: { ...target, inputs: { from: "tests", count: 6 } } },
  },
} satisfies TaskParts;
const task = taskOf(parts);

const withVerifier = (id: string, files: Texts, config: JsonObject, gold: Texts = parts.gold): Task =>
  taskOf({ ...parts, gold, verifiers: { [id]: { files, config } } });

const right = { files: { "solution.py": RIGHT } };

let lab: JudgingLab;
beforeAll(async () => {
  lab = await JudgingLab.open();
});
afterAll(() => lab[Symbol.asyncDispose]());

test("ids, versions and splits of the verifiers are pinned", () => {
  expect(verifiers.map(({ id, version, split, graded }) => [id, version, split, graded])).toEqual([
    ["tests", "1", "train", false],
    ["stdio", "1", "train", false],
    ["differential", "1", "train", false],
  ]);
});

test("the sample task is judged by every verifier there is", () => {
  expect(eligibleVerifiers(task)).toEqual(verifiers);
});

for (const verifier of verifiers) {
  test(`${verifier.id}: gold scores 1, untouched 0, again and again alike`, async () => {
    for (const seed of [1, 2]) {
      expect(Judgement.parse(await lab.judge(task, right, verifier.id, seed))).toMatchObject({ score: 1, flags: [] });
      const untouched = Judgement.parse(await lab.judge(task, {}, verifier.id, seed));
      expect(untouched.score).toBe(0);
      expect(untouched.checks.some(({ status }) => status === "failed")).toBe(true);
    }
  });

  test(`${verifier.id}: says what it catches and what it cannot, and refuses a task that does not list it`, () => {
    expect(verifier.description).toMatch(/catch|score 0/);
    expect(verifier.description).toMatch(/cannot/);
    expect(verifier.mismatch({ ...task, verifiers: [] })).toContain("lists no");
  });

  test(`${verifier.id}: settings that it does not know are named`, () => {
    const listed = task.verifiers.map((entry) => ({ ...entry, config: { ...entry.config, tpyo: 1 } }));
    expect(verifier.mismatch({ ...task, verifiers: listed })).toContain("tpyo");
  });

  test(`${verifier.id}: an aborted run throws and leaves no sandbox`, async () => {
    const submission = await lab.submit(task, { files: { "solution.py": "while True:\n    pass\n" } });
    const snapshot = await lab.provider.open({ image: "host", owner: "t" }).then((sandbox) => sandbox.freeze());
    const abort = new AbortController();
    const found = findVerifier(verifier.id);
    if (found === undefined) throw new Error("not in the catalog");
    const run = judgeSubmission({
      provider: lab.provider,
      servers: lab.servers,
      task,
      base: snapshot,
      submission,
      verifier: found,
      seed: 1,
      wallMs: 60_000,
      signal: abort.signal,
    });
    abort.abort(new Error("stop"));
    await expect(run).rejects.toThrow("stop");
    await lab.provider.release(snapshot);
    expect(await lab.sandboxesLeft()).toBe(0);
  });
}

const ours: readonly { name: string; task: Task; verifier: string }[] = [
  {
    name: "hidden tests that do not load without the subject",
    task: withVerifier(
      "tests",
      { "test_hidden.py": "import nothing_at_all\n", "expected.json": '["test_hidden.py::test_x"]' },
      { mode: "proxied", ...target },
    ),
    verifier: "tests",
  },
  {
    name: "other tests than the expected ones",
    task: withVerifier(
      "tests",
      { "test_hidden.py": hidden, "expected.json": '["test_hidden.py::test_in_place"]' },
      { mode: "proxied", ...target },
    ),
    verifier: "tests",
  },
  {
    name: "a judge that exits before it ends",
    task: withVerifier(
      "tests",
      { "test_hidden.py": "import os\nos._exit(0)\n", "expected.json": '["test_hidden.py::test_x"]' },
      { mode: "proxied", ...target },
    ),
    verifier: "tests",
  },
  {
    name: "a generator that raises",
    task: withVerifier(
      "differential",
      { "generate.py": "def generate(seed, count):\n    return 1 / 0\n" },
      { ...target, inputs: { from: "generator" } },
    ),
    verifier: "differential",
  },
  {
    name: "gold that rejects the inputs",
    task: withVerifier(
      "differential",
      { "generate.py": "def generate(seed, count):\n    return [{'args': [None]}] * count\n" },
      { ...target, inputs: { from: "generator" } },
    ),
    verifier: "differential",
  },
  {
    name: "gold that cannot be imported",
    task: withVerifier(
      "differential",
      { "test_hidden.py": hidden },
      { ...target, inputs: { from: "tests" } },
      { "solution.py": "1 / 0\n" },
    ),
    verifier: "differential",
  },
  {
    name: "gold that ends its process",
    task: withVerifier(
      "differential",
      { "test_hidden.py": hidden },
      { ...target, inputs: { from: "tests" } },
      { "solution.py": "import os\nos._exit(0)\n" },
    ),
    verifier: "differential",
  },
];

for (const { name, task: broken, verifier } of ours) {
  test(`${name}: our failure, no score`, async () => {
    await expect(lab.judge(broken, right, verifier)).rejects.toMatchObject({
      name: "GymError",
      code: "verifier_failed",
    });
    expect(await lab.sandboxesLeft()).toBe(0);
  });
}

test("an input below zero on which gold hangs rules out no larger ones", async () => {
  const generate =
    "def generate(seed, count):\n    return [{'args': [[value]]} for value in [-1, *range(1, count + 1)]]\n";
  const hangs = RIGHT.replace("    for at", "    while values[0] < 0:\n        pass\n    for at");
  const task = withVerifier(
    "differential",
    { "generate.py": generate },
    { ...target, inputs: { from: "generator" } },
    { "solution.py": hangs },
  );
  expect(await lab.judge(task, right, "differential")).toMatchObject({ score: 1 });
});

test("a judge that dies of the subject's answers is the subject's fault", async () => {
  const files = {
    "test_hidden.py":
      "import os\nfrom solution import double\n\n\ndef test_x():\n    if double([1]) == 'die':\n        os._exit(9)\n",
    "expected.json": '["test_hidden.py::test_x"]',
  };
  const fragile = withVerifier("tests", files, { mode: "proxied", ...target });
  expect(
    await lab.judge(fragile, { files: { "solution.py": "def double(values):\n    return 'die'\n" } }, "tests"),
  ).toMatchObject({
    score: 0,
    flags: [{ name: "judge_died" }],
  });
});

test("a submission that cannot be imported scores 0 and says why", async () => {
  for (const verifier of ["tests", "differential"])
    expect(await lab.judge(task, { files: { "solution.py": "def double(:\n" } }, verifier)).toMatchObject({
      score: 0,
      flags: [],
      detail: { reason: expect.stringContaining("SyntaxError") },
    });
});

test("protected files of the base are restored, also when their folder was replaced", async () => {
  const guarded = taskOf({ ...parts, files: { ...parts.files, "pkg/conftest.py": "base" } });
  const judged = await lab.judge(guarded, { files: { "solution.py": RIGHT, "pkg/conftest.py": "mine" } }, "stdio");
  expect(judged).toMatchObject({ score: 1, flags: [{ name: "protected_path", detail: "pkg/conftest.py" }] });
  const replaced = { files: { "solution.py": RIGHT }, script: "rm -r pkg && ln -s /tmp pkg" };
  expect((await lab.judge(guarded, replaced, "stdio")).score).toBe(1);
});

test("links, folders and modes of a submission arrive", async () => {
  const attempt = {
    files: { "lib/real.py": RIGHT },
    script:
      "rm solution.py && ln -s lib/real.py solution.py && mkdir -p empty/deep && chmod 700 empty && chmod 600 lib/real.py",
  };
  expect(await lab.judge(task, attempt, "stdio")).toMatchObject({ score: 1, flags: [] });
});

test("functions are judged by tests in their own language", () => {
  const foreign = taskOf({ ...parts, language: "javascript" });
  expect(findVerifier("tests")?.mismatch(foreign)).toContain("hidden.test.mjs");
  expect(findVerifier("differential")?.mismatch(foreign)).toContain("hidden.test.mjs");
});
