import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { type Header, pack } from "tar-stream";
import { afterEach, beforeEach, expect, test } from "vitest";
import { TaskId } from "../../core/ids.ts";
import { openTaskCatalog } from "./catalog.ts";
import { readTaskFolder, taskTomlText } from "./folder.ts";
import { type ImportedTask, type ImportOptions, importers } from "./importers.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "task-import-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

async function runImport(format: string, upload: Uint8Array, options: ImportOptions = {}): Promise<ImportedTask[]> {
  const importer = importers.get(format);
  if (importer === undefined) throw new Error(`no importer ${format}`);
  return await Array.fromAsync(importer.import(upload, join(home, "tasks"), options));
}

/** Two problems of our own in HumanEval's form; the second one's check calls a helper of the prompt. */
const problems = [
  {
    task_id: "HumanEval/0",
    prompt: 'from typing import List\n\n\ndef total(values: List[int]) -> int:\n    """ Sum of the values.\n    """\n',
    entry_point: "total",
    canonical_solution: "    return sum(values)\n",
    test: "\n\nMETADATA = {}\n\n\ndef check(candidate):\n    assert candidate([1, 2]) == 3\n",
  },
  {
    task_id: "HumanEval/1",
    prompt: 'def twice(x):\n    return 2 * x\n\n\ndef half(x):\n\t"""Undoes twice."""\n',
    entry_point: "half",
    canonical_solution: "\treturn x // 2",
    test: "def check(candidate):\n    assert candidate(twice(4)) == 4\n",
  },
];
const jsonl = (lines: readonly unknown[]) => Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));

test("humaneval lines become function tasks with two train verifiers", async () => {
  expect(await runImport("humaneval", gzipSync(jsonl(problems)))).toEqual([
    { id: "humaneval/HumanEval_0", status: "written" },
    { id: "humaneval/HumanEval_1", status: "written" },
  ]);
  const task = await readTaskFolder(join(home, "tasks/humaneval/HumanEval_0"));
  expect(task).toMatchObject({
    id: "humaneval/HumanEval_0",
    kind: "function",
    language: "python",
    runtimes: ["python3"],
  });
  expect(task.verifiers).toMatchObject([
    { id: "tests", role: "train", config: { mode: "proxied", entry: "solution.py", functions: ["total"] } },
    { id: "differential", role: "train", config: { inputs: { from: "tests", count: 40, min_count: 5 } } },
  ]);
  expect(task.instruction).toContain("Complete the function `total` in `solution.py`");
});

test("a humaneval stub keeps the prompt, its helpers and its indentation, and raises", async () => {
  await runImport("humaneval", jsonl(problems));
  const text = (path: string) => readFile(join(home, "tasks/humaneval/HumanEval_1", path), "utf8");
  const prompt = problems[1]?.prompt ?? "";
  expect(await text("environment/solution.py")).toBe(`${prompt}\traise NotImplementedError\n`);
  expect(await text("solution/files/solution.py")).toBe(`${prompt}\treturn x // 2\n`);
  const hidden = await text("tests/check/test_hidden.py");
  expect(hidden).toMatch(/^from solution import half\n/);
  expect(hidden).toContain("def twice(x):");
  expect(hidden).not.toContain("def half(");
  expect(hidden).toMatch(/def test_check\(\):\n {4}check\(half\)\n$/);
  expect(JSON.parse(await text("tests/check/expected.json"))).toEqual(["test_hidden.py::test_check"]);
});

test("the same humaneval line is skipped, a changed one written", async () => {
  await runImport("humaneval", jsonl(problems));
  const changed = { ...problems[0], canonical_solution: "    return 0 + sum(values)\n" };
  expect((await runImport("humaneval", jsonl([changed, problems[1]]))).map(({ status }) => status)).toEqual([
    "written",
    "skipped",
  ]);
});

test("a bad humaneval line fails alone", async () => {
  const lines = Buffer.concat([
    jsonl([{ ...problems[0], entry_point: "missing" }, { task_id: "HumanEval/7" }]),
    Buffer.from("{nonsense\n\n"),
    jsonl([problems[1]]),
  ]);
  expect(await runImport("humaneval", lines)).toMatchObject([
    { id: "humaneval/HumanEval_0", status: "failed", reason: expect.stringContaining("does not define missing") },
    { id: "line 2", status: "failed", reason: expect.stringContaining("prompt") },
    { id: "line 3", status: "failed", reason: expect.stringContaining("not JSON") },
    { id: "humaneval/HumanEval_1", status: "written" },
  ]);
});

test("a source of one's own names the tasks; a built-in or malformed one is refused", async () => {
  expect(await runImport("humaneval", jsonl(problems), { source: "mine" })).toMatchObject([
    { id: "mine/HumanEval_0" },
    {},
  ]);
  for (const source of ["demo", "../up", "Big", ""])
    await expect(runImport("humaneval", jsonl(problems), { source })).rejects.toMatchObject({ code: "task_invalid" });
});

test("an upload that is not of the format is refused", async () => {
  await expect(runImport("humaneval", Buffer.from([0x1f, 0x8b, 1, 2]))).rejects.toMatchObject({ code: "task_invalid" });
  await expect(runImport("humaneval", Buffer.from("\n"))).rejects.toMatchObject({ code: "task_invalid" });
  await expect(runImport("folder", Buffer.from("plain text"))).rejects.toMatchObject({ code: "task_invalid" });
});

const published = new URL("../../../shared/data/HumanEval.jsonl.gz", import.meta.url);
if (!existsSync(published))
  process.stderr.write(`skipped: the published HumanEval file is not at ${published.pathname}\n`);

test.skipIf(!existsSync(published))("all 164 published problems import and load", async () => {
  const lines = await runImport("humaneval", await readFile(published));
  expect(lines.filter(({ status }) => status === "written")).toHaveLength(164);
  const catalog = openTaskCatalog({ home });
  expect(await catalog.quarantined()).toEqual([]);
  expect((await catalog.list()).filter(({ source }) => source === "humaneval")).toHaveLength(164);
});

type Entry = readonly [name: string, content: string, header?: Partial<Header>];

async function tar(entries: readonly Entry[]): Promise<Buffer> {
  const archive = pack();
  for (const [name, content, header] of entries) archive.entry({ name, ...header }, content);
  archive.finalize();
  const chunks: unknown[] = await Array.fromAsync(archive);
  return Buffer.concat(chunks.filter((chunk) => chunk instanceof Uint8Array));
}

const folder = (root: string, id: string): Entry[] => [
  [
    `${root}task.toml`,
    `# kept as it is\n${taskTomlText({ task: { name: id }, polygym: { kind: "program", language: "shell" }, verifiers: [{ id: "stdio", dir: "tests/stdio" }] })}`,
  ],
  [`${root}instruction.md`, "# T\n\nDo it.\n"],
  [`${root}environment/run.sh`, "false\n", { mode: 0o755 }],
  [`${root}tests/stdio/cases/1.out`, "ok\n"],
  [`${root}solution/files/run.sh`, "true\n"],
];

test("an archive of task folders is written as it is, at any depth", async () => {
  const upload = await tar([
    ["./suite/", "", { type: "directory" }],
    ...folder("./suite/a/", "mine/a"),
    ...folder("deep/er/b/", "mine/b"),
  ]);
  expect(await runImport("folder", gzipSync(upload))).toEqual([
    { id: "mine/b", status: "written" },
    { id: "mine/a", status: "written" },
  ]);
  const task = await openTaskCatalog({ home }).load(TaskId.parse("mine/a"));
  expect(task?.files.get("run.sh")?.mode).toBe(0o755);
  expect(await readFile(join(home, "tasks/mine/a/task.toml"), "utf8")).toMatch(/^# kept as it is\n/);
  expect((await runImport("folder", upload)).map(({ status }) => status)).toEqual(["skipped", "skipped"]);
});

test("a single folder may stand at the top of the archive", async () => {
  expect(await runImport("folder", await tar(folder("", "mine/top")))).toEqual([{ id: "mine/top", status: "written" }]);
});

test("a task of the archive that breaks the format fails alone", async () => {
  const upload = await tar([
    ...folder("a/", "mine/a").filter(([name]) => !name.endsWith("instruction.md")),
    ...folder("b/", "demo/b"),
    ...folder("c/", "mine/c"),
  ]);
  expect(await runImport("folder", upload)).toMatchObject([
    { id: "mine/a", status: "failed", reason: expect.stringContaining("instruction.md: is missing") },
    { id: "b/", status: "failed", reason: expect.stringContaining("built in") },
    { id: "mine/c", status: "written" },
  ]);
  expect(await readdir(join(home, "tasks/mine"))).toEqual(["c"]);
});

test("the source given must be the one that the tasks name", async () => {
  expect(await runImport("folder", await tar(folder("a/", "mine/a")), { source: "theirs" })).toMatchObject([
    { status: "failed", reason: expect.stringContaining("must begin with theirs/") },
  ]);
});

test.each<[string, Entry]>([
  ["a symbolic link", ["a/environment/link", "", { type: "symlink", linkname: "/etc/passwd" }]],
  ["a hard link", ["a/environment/link", "", { type: "link", linkname: "a/task.toml" }]],
  ["a device", ["a/environment/null", "", { type: "character-device" }]],
  ["a path upwards", ["a/../../up", "x"]],
  ["an absolute path", ["/etc/up", "x"]],
])("an archive with %s is refused whole", async (_what, entry) => {
  const upload = await tar([...folder("a/", "mine/a"), entry]);
  await expect(runImport("folder", upload)).rejects.toMatchObject({ code: "task_invalid" });
  expect(existsSync(join(home, "tasks"))).toBe(false);
});

test("an archive without a task is refused", async () => {
  await expect(runImport("folder", await tar([["readme.txt", "x"]]))).rejects.toThrow(/no task\.toml/);
});

test("the gzipped and the plain upload are the same import", async () => {
  const zipped = gzipSync(jsonl(problems));
  await runImport("humaneval", zipped);
  expect((await runImport("humaneval", gunzipSync(zipped))).map(({ status }) => status)).toEqual([
    "skipped",
    "skipped",
  ]);
});
