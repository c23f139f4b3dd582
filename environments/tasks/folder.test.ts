import { createHash } from "node:crypto";
import { chmod, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { FileTree } from "../../core/task.ts";
import { readTaskFolder, textFile, writeTaskFolder } from "./folder.ts";
import { isSafePath } from "./folder-tree.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "task-folder-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const toml = `
[task]
name = "mine/add"
description = "Adds two numbers"
keywords = ["sum"]
[environment]
memory_mb = 256
cpus = 2
[agent]
timeout_sec = 60
[harbor_extra]
kept = true
[polygym]
kind = "function"
language = "python"
runtimes = ["python3"]
[[verifiers]]
id = "tests"
dir = "tests/functions"
config = { mode = "proxied" }
[[verifiers]]
id = "differential"
role = "shadow"
`;

const files: Record<string, string> = {
  "task.toml": toml,
  "instruction.md": "# Add\n\nComplete `add`.\n",
  "environment/solution.py": "def add(a, b):\n    raise NotImplementedError\n",
  "environment/data/in.txt": "1 2\n",
  "tests/functions/test_hidden.py": "def test_add():\n    pass\n",
  "solution/files/solution.py": "def add(a, b):\n    return a + b\n",
  "cheats/zero/cheat.toml": 'description = "Always 0"\n',
  "cheats/zero/files/solution.py": "def add(a, b):\n    return 0\n",
  "cheats/gone/cheat.toml": 'description = "Deletes and runs"\n',
  "cheats/gone/deleted": "data/in.txt\n",
  "cheats/gone/solve.sh": "rm -rf tests\n",
};

const treeOf = (content: Record<string, string | undefined>): FileTree =>
  new Map(Object.entries(content).flatMap(([path, text]) => (text === undefined ? [] : [[path, textFile(text)]])));

const write = (changes: Record<string, string | undefined> = {}) =>
  writeTaskFolder(join(root, "add"), treeOf({ ...files, ...changes }));

test("reads every part of a task folder", async () => {
  await write();
  const task = await readTaskFolder(join(root, "add"));
  expect(task).toMatchObject({
    id: "mine/add",
    source: "mine",
    title: "Add",
    description: "Adds two numbers",
    keywords: ["sum"],
    split: "train",
    cluster: "mine/add",
    kind: "function",
    language: "python",
    image: "host",
    context: null,
    workdir: null,
    runtimes: ["python3"],
    setup: null,
    allowedProtected: [],
    limits: { memoryBytes: 256 * 1024 * 1024, cpus: 2 },
    wallS: 60,
    verifierS: 600,
  });
  expect([...task.files.keys()]).toEqual(["data/in.txt", "solution.py"]);
  expect([...task.gold.files.keys()]).toEqual(["solution.py"]);
  expect(task.verifiers.map(({ id, role, files: hidden }) => [id, role, [...hidden.keys()]])).toEqual([
    ["tests", "train", ["test_hidden.py"]],
    ["differential", "shadow", []],
  ]);
  expect(task.cheats).toMatchObject([
    { name: "gone", description: "Deletes and runs", deleted: ["data/in.txt"], script: "rm -rf tests\n" },
    { name: "zero", description: "Always 0", deleted: [], script: null },
  ]);
});

test("a Dockerfile in environment/ makes an image of the task's own, named for its content, unless task.toml names one", async () => {
  const task = await write({ "environment/Dockerfile": "FROM polygym/python\n" });
  expect(task.image).toMatch(/^task-[0-9a-f]{16}$/);
  expect([...(task.context?.files.keys() ?? [])]).toEqual(["Dockerfile", "data/in.txt", "solution.py"]);
  expect([...task.files.keys()]).toEqual([]);
  const other = await write({
    "environment/Dockerfile": "FROM polygym/python\n",
    "instruction.md": "# Other\n\nAdd.\n",
  });
  expect(other.image).toBe(task.image);
  const changed = await write({ "environment/Dockerfile": "FROM polygym/c\n" });
  expect(changed.image).not.toBe(task.image);
});

test("a working folder in task.toml is the task's, and another one another image", async () => {
  const workdir = (folder: string) => toml.replace("[environment]", `[environment]\nworkdir = "${folder}"`);
  const named = async (folder: string) => (await write({ "task.toml": workdir(folder) })).workdir;
  expect(await named("/usr/src/app/")).toBe("/usr/src/app");
  expect(await named("/")).toBe("/workspace");
  expect(await named("/workspace/repo")).toBe("/workspace");
  const dockerfile = { "environment/Dockerfile": "FROM polygym/python\nWORKDIR /code\n" };
  const images = await Promise.all(
    [toml, workdir("/app"), workdir("/workspace")].map(async (text, i) => {
      const tree = treeOf({ ...files, ...dockerfile, "task.toml": text });
      return (await writeTaskFolder(join(root, `add-${i}`), tree)).image;
    }),
  );
  expect(new Set(images).size).toBe(3);
});

for (const folder of ["app", "/etc", "/root", "/tmp/app", "/app/../etc", "/workspace/../etc"])
  test(`a working folder ${folder} is refused with its key and what to do`, async () => {
    const text = toml.replace("[environment]", `[environment]\nworkdir = "${folder}"`);
    await expect(write({ "task.toml": text })).rejects.toMatchObject({
      code: "task_invalid",
      message: expect.stringMatching(/task\.toml.*environment\.workdir: .*(must be an absolute path|such as \/)/),
    });
  });

test("a task that declares hosts needs a worker with egress", async () => {
  const online = '[environment]\nnetwork_mode = "allowlist"\nallowed_hosts = ["packages.example", "*.files.example"]';
  const task = await write({ "task.toml": toml.replace("[environment]", online) });
  expect(task).toMatchObject({
    allowedHosts: ["packages.example", "*.files.example"],
    runtimes: ["python3", "egress"],
  });
});

test("version is the digest over path and content of the files, sorted by path", async () => {
  const task = await write();
  const digest = (text: string) => createHash("sha256").update(text).digest("hex");
  const lines = Object.keys(files)
    .sort()
    .map((path) => `${path}\0${digest(files[path] ?? "")}\n`);
  expect(task.version).toBe(`sha256:${digest(lines.join(""))}`);
});

test("version ignores caches and foreign files but not hidden tests", async () => {
  const before = await write();
  expect(await write({ "environment/__pycache__/solution.pyc": "x", "notes.txt": "x" })).toMatchObject({
    version: before.version,
  });
  expect((await write({ "tests/functions/test_hidden.py": "other\n" })).version).not.toBe(before.version);
});

test("modes are reduced to 755 and 644", async () => {
  await write({ "environment/run.sh": "true\n" });
  await chmod(join(root, "add/environment/run.sh"), 0o700);
  await chmod(join(root, "add/environment/solution.py"), 0o600);
  const task = await readTaskFolder(join(root, "add"));
  expect(task.files.get("run.sh")?.mode).toBe(0o755);
  expect(task.files.get("solution.py")?.mode).toBe(0o644);
});

test("drops the canary lines at the top of an instruction", async () => {
  const task = await write({ "instruction.md": "<!-- canary 123 -->\n# CANARY guid\n\n# Add\n\nDo it.\n" });
  expect(task.instruction).toBe("# Add\n\nDo it.\n");
});

test.each([
  ["no task.toml", { "task.toml": undefined }, /task\.toml: is missing/],
  ["broken TOML", { "task.toml": "[task\n" }, /task\.toml: is not TOML/],
  ["a missing key", { "task.toml": toml.replace('kind = "function"', "") }, /task\.toml: polygym\.kind: /],
  ["an unknown key of ours", { "task.toml": toml.replace("[polygym]", "[polygym]\nlang = 1") }, /polygym: .*lang/],
  ["a wrong name", { "task.toml": toml.replace("mine/add", "add") }, /task\.name: must look like source\/name/],
  ["an empty instruction", { "instruction.md": "\n" }, /instruction\.md: .*empty/],
  ["a gold that changes nothing", { "solution/files/solution.py": undefined }, /solution: changes nothing/],
  ["a cheat without description", { "cheats/zero/cheat.toml": "" }, /cheats\/zero\/cheat\.toml: description/],
  ["a deletion that leaves the workspace", { "cheats/gone/deleted": "../x\n" }, /deleted: "\.\.\/x"/],
  [
    "hosts without the mode that opens them",
    { "task.toml": toml.replace("[environment]", '[environment]\nallowed_hosts = ["packages.example"]') },
    /allowed_hosts: goes with network_mode/,
  ],
  [
    "an allowlist of nothing",
    { "task.toml": toml.replace("[environment]", '[environment]\nnetwork_mode = "allowlist"') },
    /names at least one host/,
  ],
  [
    "a verifier twice",
    { "task.toml": toml.replace('"differential"', '"tests"') },
    /verifiers\.1\.id: tests is listed twice/,
  ],
  [
    "a hidden folder that leaves the task",
    { "task.toml": toml.replace("tests/functions", "tests/../..") },
    /verifiers\.0\.dir/,
  ],
  [
    "a hidden folder in the workspace",
    { "task.toml": toml.replace("tests/functions", "environment") },
    /below tests\//,
  ],
  ["an empty hidden folder", { "task.toml": toml.replace("tests/functions", "tests/none") }, /no files in tests\/none/],
  [
    "no train verifier",
    { "task.toml": toml.replace('id = "tests"', 'id = "tests"\nrole = "shadow"') },
    /at least one must have the role train/,
  ],
])("refuses %s and leaves nothing behind", async (_what, changes, message) => {
  await expect(write(changes)).rejects.toMatchObject({ code: "task_invalid", message: expect.stringMatching(message) });
  expect(await readdir(root)).toEqual([]);
});

test("refuses links, wherever they lead", async () => {
  await write();
  await symlink("/etc/passwd", join(root, "add/environment/link"));
  await expect(readTaskFolder(join(root, "add"))).rejects.toMatchObject({
    code: "task_invalid",
    message: expect.stringContaining("environment/link"),
  });
});

test("refuses text that is not UTF-8 and says where", async () => {
  await write();
  await writeFile(join(root, "add/instruction.md"), Buffer.from([0xff, 0xfe]));
  await expect(readTaskFolder(join(root, "add"))).rejects.toThrow(/instruction\.md: must be UTF-8/);
});

test("a folder that is not there is task_invalid", async () => {
  await expect(readTaskFolder(join(root, "none"))).rejects.toMatchObject({ code: "task_invalid" });
});

test("a failed write keeps the task that was there", async () => {
  await write();
  await expect(write({ "instruction.md": "" })).rejects.toThrow(/instruction\.md/);
  expect((await readTaskFolder(join(root, "add"))).title).toBe("Add");
});

test.each(["../a", "a/../b", "/a", "a//b", "", ".", "a/.", "a\\b", "a\nb"])("path %j is not safe", (path) => {
  expect(isSafePath(path)).toBe(false);
});

test.each(["a", "a/b.c", ".hidden", "a..b", "ä/日本"])("path %j is safe", (path) => {
  expect(isSafePath(path)).toBe(true);
});
