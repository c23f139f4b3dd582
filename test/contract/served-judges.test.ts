import { afterEach, expect, test } from "vitest";
import type { Task } from "../../core/task.ts";
import type { ServerPoolOptions } from "../../verifiers/clean-room/server-pool.ts";
import { JudgingLab, type Texts, taskOf } from "../judging.ts";

/** What may pass from one run of a serving judge to the next: nothing. */

const RIGHT = "def double(value):\n    return value * 2\n";
const right: { files: Texts } = { files: { "solution.py": RIGHT } };
const target = { entry: "solution.py", functions: ["double"], call_timeout_s: 30 };
const HEAD = "from solution import double\n\n\n";

const taskWith = (hidden: string, more: Texts = {}): Task =>
  taskOf({
    kind: "function",
    language: "python",
    files: { "solution.py": "" },
    gold: { "solution.py": RIGHT },
    verifiers: {
      tests: {
        files: { ...more, "test_hidden.py": hidden, "expected.json": '["test_hidden.py::test_it"]' },
        config: { mode: "proxied", ...target },
      },
      differential: {
        files: { "test_hidden.py": hidden },
        config: { ...target, inputs: { from: "tests", count: 2, min_count: 1 } },
      },
    },
  });
const plain = taskWith(`${HEAD}def test_it():\n    assert double(4) == 8\n`);

let lab: JudgingLab;
const open = async (options: ServerPoolOptions = {}) => {
  lab = await JudgingLab.open(options);
};
afterEach(() => lab[Symbol.asyncDispose]());

test("one judge serves attempts at several tasks, one after the other", async () => {
  await open();
  const other = taskWith(`${HEAD}def test_it():\n    assert double("ab") == "abab"\n`);
  for (const task of [plain, other, plain]) {
    expect(await lab.judge(task, right, "tests")).toMatchObject({ score: 1 });
    expect(await lab.judge(task, {}, "tests")).toMatchObject({ score: 0 });
    expect(lab.servers.idle).toBe(1);
  }
  expect(await lab.sandboxesLeft()).toBe(0);
});

test("attempts that are judged at once have a judge each", async () => {
  await open();
  const judged = await Promise.all([1, 2, 3].map(() => lab.judge(plain, right, "tests")));
  expect(judged.map(({ score }) => score)).toEqual([1, 1, 1]);
  expect(lab.servers.idle).toBeGreaterThan(1);
});

test("what a test does to its interpreter ends with its run", async () => {
  await open();
  const task = taskWith(`import atexit, builtins, json, os, random, sys, threading
${HEAD}seen = []


def test_it():
    assert double(1) == 2
    assert seen == [] and sum([1]) == 1 and json.dumps(1) == "1" and "MARK" not in os.environ
    assert not hasattr(builtins, "mark") and "mark" not in sys.modules and threading.active_count() == 1
    assert os.getcwd() == "/workspace" and os.listdir(".") == ["test_hidden.py"]
    seen.append(1)
    builtins.mark = builtins.sum = json.dumps = sys.modules["mark"] = 1
    os.environ["MARK"] = "1"
    os.chdir("/")
    sys.setrecursionlimit(200)
    random.seed(1)
    atexit.register(print, "bye")
    threading.Thread(target=print).start()
`);
  for (const _ of [1, 2, 3]) expect(await lab.judge(task, right, "tests")).toMatchObject({ score: 1 });
  expect(lab.servers.idle).toBe(1);
});

test("random numbers of a test are not those of the run before it", async () => {
  await open();
  const task = taskWith(`import random\n${HEAD}def test_it():\n    assert double(0) == random.getrandbits(64)\n`);
  const ask = async () => (await lab.judge(task, right, "differential")).checks.map(({ message }) => message);
  await ask();
  const drawn = taskWith(
    `import random\n${HEAD}def test_it():\n    assert double(1) == 0, str(random.getrandbits(64))\n`,
  );
  const messages = [];
  for (const _ of [1, 2]) messages.push((await lab.judge(drawn, right, "tests")).checks[0]?.message);
  expect(messages[0]).toMatch(/AssertionError: \d+/);
  expect(messages[1]).not.toBe(messages[0]);
});

const LEFT_BEHIND: Readonly<Record<string, string>> = {
  "a file in /tmp": `open("/tmp/left", "w").write("x")`,
  "a file in the workspace": `open("left", "w").write("x")`,
  "a file in shared memory": `open("/dev/shm/left", "w").write("x")`,
  "a changed file of the system": `open("/etc/hosts", "a").write("x")`,
  "a folder": `import os; os.mkdir("/var/left")`,
  "a process": `import os, time\n    if os.fork() == 0:\n        time.sleep(60)\n        os._exit(0)`,
};
for (const [name, code] of Object.entries(LEFT_BEHIND)) {
  test(`a judge serves no more when a run left behind ${name}`, async () => {
    await open();
    const task = taskWith(`${HEAD}def test_it():\n    assert double(1) == 2\n    ${code}\n`);
    expect(await lab.judge(task, right, "tests")).toMatchObject({ score: 1 });
    expect(lab.servers.idle).toBe(0);
    expect(await lab.sandboxesLeft()).toBe(0);
  });
}

test("a file that comes and goes leaves no trace, and the tests' own files are gone after their run", async () => {
  await open();
  const task = taskWith(
    `import json, os\n${HEAD}def test_it():\n    with open("/tmp/x", "w") as file:\n        file.write(str(double(1)))\n    os.unlink("/tmp/x")\n    assert json.here == 1 and open("data/one.txt").read() == "1"\n`,
    { "json.py": "here = 1\n", "data/one.txt": "1" },
  );
  expect(await lab.judge(task, right, "tests")).toMatchObject({ score: 1 });
  expect(lab.servers.idle).toBe(1);
  const empty = taskWith(
    `import os\n${HEAD}def test_it():\n    assert double(1) == 2 and os.listdir(".") == ["test_hidden.py"]\n`,
  );
  expect(await lab.judge(empty, right, "tests")).toMatchObject({ score: 1 });
});

test("a judge that dies of the answers serves no more, and the attempt is at fault", async () => {
  await open();
  const deadly = taskWith(
    `import os, signal\n${HEAD}def test_it():\n    if double(1) == "die":\n        os.kill(os.getpid(), signal.SIGKILL)\n`,
  );
  const attempt = { files: { "solution.py": "def double(value):\n    return 'die'\n" } };
  expect(await lab.judge(deadly, attempt, "tests")).toMatchObject({
    score: 0,
    flags: [{ name: "judge_died", detail: expect.stringContaining("SIGKILL") }],
  });
  expect(lab.servers.idle).toBe(0);
  expect(await lab.judge(deadly, right, "tests")).toMatchObject({ score: 1 });
  const server = taskWith(
    `import os, signal\n${HEAD}def test_it():\n    if double(1) == "die":\n        os.kill(os.getppid(), signal.SIGKILL)\n        __import__("time").sleep(9)\n`,
  );
  expect(await lab.judge(server, attempt, "tests")).toMatchObject({ score: 0, flags: [{ name: "judge_died" }] });
  expect(lab.servers.idle).toBe(0);
});

test("an attempt that dies or cannot be imported costs no judge", async () => {
  await open();
  for (const text of ["import os\nos._exit(0)\n", "def double(:\n", "def double(value):\n    raise SystemExit(3)\n"])
    expect(await lab.judge(plain, { files: { "solution.py": text } }, "tests")).toMatchObject({ score: 0 });
  expect(lab.servers.idle).toBe(1);
  expect(await lab.judge(plain, right, "tests")).toMatchObject({ score: 1 });
});

test("references serve too, each its own task", async () => {
  await open();
  for (const _ of [1, 2]) expect(await lab.judge(plain, right, "differential")).toMatchObject({ score: 1 });
  expect(lab.servers.idle).toBe(2);
  expect(await lab.judge({ ...plain, version: `sha256:${"0".repeat(64)}` }, right, "differential")).toMatchObject({
    score: 1,
  });
  expect(lab.servers.idle).toBe(3);
});

test("a judge's runs and age are bounded", async () => {
  let now = 0;
  await open({ maxRuns: 3, now: () => now });
  const idleAfterEach: number[] = [];
  for (const _ of [1, 2]) {
    await lab.judge(plain, right, "tests");
    idleAfterEach.push(lab.servers.idle);
  }
  now = 3_600_000;
  await lab.judge(plain, right, "tests");
  idleAfterEach.push(lab.servers.idle);
  // The first one compiles the subject's program and judges; the next run is its last.
  expect(idleAfterEach).toEqual([1, 0, 1]);
});
