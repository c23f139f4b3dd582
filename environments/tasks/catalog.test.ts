import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { TaskId } from "../../core/ids.ts";
import { openTaskCatalog } from "./catalog.ts";
import { taskTomlText, textFile, writeTaskFolder } from "./folder.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "task-catalog-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

const writeTask = async (place: string, name = place) => {
  await mkdir(join(home, "tasks", place, ".."), { recursive: true });
  await writeTaskFolder(
    join(home, "tasks", place),
    new Map([
      [
        "task.toml",
        textFile(
          taskTomlText({
            task: { name, description: "d" },
            polygym: { kind: "program", language: "shell" },
            verifiers: [{ id: "stdio" }],
          }),
        ),
      ],
      ["instruction.md", textFile("Do it.\n")],
      ["solution/files/main.sh", textFile("true\n")],
    ]),
  );
};
const id = (text: string) => TaskId.parse(text);
const imported = async (catalog: ReturnType<typeof openTaskCatalog>) =>
  (await catalog.list()).filter(({ source }) => source !== "demo").map((task) => task.id);

test("lists the built-in suite without any home folder", async () => {
  const catalog = openTaskCatalog({ home: join(home, "nowhere") });
  const ids = (await catalog.list()).map((task) => task.id);
  expect(ids.length).toBeGreaterThanOrEqual(14);
  expect(ids).toEqual([...ids].sort());
  expect(await catalog.quarantined()).toEqual([]);
});

test("lists and loads imported tasks, sorted by id", async () => {
  await writeTask("mine/b");
  await writeTask("mine/a");
  await writeTask("also/c");
  const catalog = openTaskCatalog({ home });
  expect(await imported(catalog)).toEqual(["also/c", "mine/a", "mine/b"]);
  const task = await catalog.load(id("mine/a"));
  expect(task?.instruction).toBe("Do it.\n");
  expect(task?.version).toBe((await catalog.list()).find((summary) => summary.id === "mine/a")?.version);
});

test("a summary shows no hidden material", async () => {
  const [summary] = await openTaskCatalog({ home }).list();
  expect(Object.keys(summary ?? {}).sort()).toEqual(
    ["cluster", "description", "id", "image", "keywords", "kind", "language", "runtimes", "source", "split", "title"]
      .concat("verifiers", "version")
      .sort(),
  );
});

test("an unknown task is null", async () => {
  expect(await openTaskCatalog({ home }).load(id("mine/none"))).toBeNull();
});

test("a broken folder is quarantined with its reason and hides no other", async () => {
  await writeTask("mine/good");
  await mkdir(join(home, "tasks/mine/bad"));
  await writeFile(join(home, "tasks/mine/bad/task.toml"), "[task");
  const catalog = openTaskCatalog({ home });
  expect(await imported(catalog)).toEqual(["mine/good"]);
  expect(await catalog.quarantined()).toEqual([
    { id: "mine/bad", reason: expect.stringMatching(/task\.toml: is not TOML/) },
  ]);
  await expect(catalog.load(id("mine/bad"))).rejects.toMatchObject({ code: "task_invalid" });
});

test("a folder under another name than its own is quarantined", async () => {
  await writeTask("mine/other", "mine/name");
  expect(await openTaskCatalog({ home }).quarantined()).toEqual([
    { id: "mine/other", reason: expect.stringContaining("must be mine/other") },
  ]);
});

test("a name that cannot be an id is quarantined", async () => {
  await mkdir(join(home, "tasks/mine/with space"), { recursive: true });
  expect(await openTaskCatalog({ home }).quarantined()).toMatchObject([{ id: "mine/with space" }]);
});

test("imports cannot stand in the place of the built-in suite", async () => {
  await writeTask("demo/merge-intervals");
  const catalog = openTaskCatalog({ home });
  expect(await catalog.quarantined()).toMatchObject([{ id: "demo/merge-intervals" }]);
  expect((await catalog.load(id("demo/merge-intervals")))?.language).toBe("python");
});

test("a linked folder is no task", async () => {
  await writeTask("mine/real");
  await symlink(join(home, "tasks/mine/real"), join(home, "tasks/mine/link"));
  const catalog = openTaskCatalog({ home });
  expect(await imported(catalog)).toEqual(["mine/real"]);
  expect(await catalog.load(id("mine/link"))).toBeNull();
});

test("what an import adds shows after refresh", async () => {
  const catalog = openTaskCatalog({ home });
  expect(await imported(catalog)).toEqual([]);
  expect(await catalog.load(id("mine/new"))).toBeNull();
  await writeTask("mine/new");
  expect(await imported(catalog)).toEqual([]);
  await catalog.refresh();
  expect(await imported(catalog)).toEqual(["mine/new"]);
  expect((await catalog.load(id("mine/new")))?.id).toBe("mine/new");
});

test("a folder that was mended loads without refresh", async () => {
  const catalog = openTaskCatalog({ home });
  await mkdir(join(home, "tasks/mine/late"), { recursive: true });
  await expect(catalog.load(id("mine/late"))).rejects.toThrow(/task\.toml: is missing/);
  await writeTask("mine/late");
  expect((await catalog.load(id("mine/late")))?.id).toBe("mine/late");
});
