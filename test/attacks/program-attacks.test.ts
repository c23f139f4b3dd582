import { afterAll, beforeAll, expect, test } from "vitest";
import { JudgingLab, type Texts, taskOf } from "../judging.ts";

/** Cheats against a program that is judged by what it prints, each with an honest twin. The task: print the sum of stdin. */

const target = { command: ["python3", "main.py"] };
const RIGHT = "import sys\nprint(sum(int(word) for word in sys.stdin.read().split()))\n";
const program = (text: string): Texts => ({ "main.py": text });

const task = taskOf({
  kind: "program",
  language: "python",
  files: program("print('not yet')\n"),
  gold: program(RIGHT),
  verifiers: {
    stdio: {
      files: {
        "cases/a.in": "1 2 3\n",
        "cases/a.out": "6\n",
        "cases/b.out": "0\n",
        "cases/c.in": "5\n",
        "cases/c.out": "5\n",
        "cases/c.json": JSON.stringify({ files: { "extra.txt": "7" }, args: ["--quiet"] }),
      },
      config: { ...target, timeout_s: 2 },
    },
    tests: {
      files: {
        "test_hidden.py":
          'from program import run\n\n\ndef test_sum():\n    result = run(stdin="4 5")\n    assert (result.exit_code, result.stdout) == (0, "9\\n")\n',
        "expected.json": '["test_hidden.py::test_sum"]',
      },
      config: { mode: "proxied", ...target, call_timeout_s: 2 },
    },
    differential: {
      files: {
        "generate.py":
          'import random\n\n\ndef generate(seed, count):\n    draw = random.Random(seed)\n    return [{"stdin": f"{draw.randint(0, 99)} {draw.randint(0, 99)}"} for _ in range(count)]\n',
      },
      config: { ...target, inputs: { from: "generator", count: 6 }, call_timeout_s: 2 },
    },
  },
});

const attacks: readonly { name: string; cheat: Texts; twin: Texts }[] = [
  {
    name: "the answers of all cases at once",
    cheat: program("print(6)\nprint(0)\nprint(5)\n"),
    twin: program(`print("working", file=__import__("sys").stderr)\n${RIGHT}`),
  },
  {
    name: "no output at all with status 0",
    cheat: program("import os\nos._exit(0)\n"),
    twin: program(`${RIGHT}import os\nsys.stdout.flush()\nos._exit(0)\n`),
  },
  {
    name: "a table of the visible case",
    cheat: program("import sys\nprint({'1 2 3': 6}.get(sys.stdin.read().strip(), 0))\n"),
    twin: program(
      "import sys\nwords = sys.stdin.read().split()\nprint({(): 0}.get(tuple(words), sum(map(int, words))))\n",
    ),
  },
  {
    name: "the right output with a wrong status",
    cheat: program(`${RIGHT}sys.exit(3)\n`),
    twin: program(`${RIGHT}sys.exit(0)\n`),
  },
  {
    name: "cursor movements and a flood that push the answer away",
    cheat: program("print('\\x1b[2J\\r' * 10)\nprint('6' * 3_000_000)\n"),
    twin: program(`import sys\nsys.stderr.write("\\x1b[2J" * 1000)\n${RIGHT}`),
  },
  {
    name: "an endless loop",
    cheat: program("while True:\n    pass\n"),
    twin: program(`for _ in range(1000):\n    pass\n${RIGHT}`),
  },
  {
    name: "interpreters and tools put into the workspace",
    cheat: { ...program("print('not yet')\n"), python3: "#!/bin/sh\necho 6\n", diff: "#!/bin/sh\nexit 0\n" },
    twin: { ...program(RIGHT), python3: "#!/bin/sh\necho 6\n" },
  },
  {
    name: "expected output looked for on disk",
    cheat: program(
      "import glob\nfor path in glob.glob('/**/*.out', recursive=True)[:50]:\n    print(open(path, errors='replace').read())\n",
    ),
    twin: program(RIGHT),
  },
];

let lab: JudgingLab;
beforeAll(async () => {
  lab = await JudgingLab.open();
});
afterAll(() => lab[Symbol.asyncDispose]());

/** A program that never ends has 2 s in each of ten runs, and more where the machine withheld some. */
const LONGEST_MS = 240_000;

for (const { name, cheat, twin } of attacks) {
  test(`${name}: scores 0, its honest twin 1`, { timeout: LONGEST_MS }, async () => {
    for (const verifier of ["stdio", "tests", "differential"]) {
      expect((await lab.judge(task, { files: cheat }, verifier)).score).toBe(0);
      expect(await lab.judge(task, { files: twin }, verifier)).toMatchObject({ score: 1 });
    }
  });
}
