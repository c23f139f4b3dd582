import { expect, test } from "vitest";
import { TaskId } from "../../core/ids.ts";
import type { Task } from "../../core/task.ts";
import { openTaskCatalog } from "./catalog.ts";
import { asText } from "./folder-tree.ts";

const catalog = openTaskCatalog({ home: "/nonexistent" });
const summaries = await catalog.list();
const tasks = (await Promise.all(summaries.map(({ id }) => catalog.load(TaskId.parse(id))))).filter(
  (task) => task !== null,
);
const each = tasks.map((task): [string, Task] => [task.id, task]);

const isInProcess = (verifier: Task["verifiers"][number]): boolean => verifier.config.mode === "in-process";

test("the suite covers its languages and kinds", () => {
  expect(tasks.length).toBeGreaterThanOrEqual(14);
  expect(new Set(tasks.map(({ language }) => language))).toEqual(new Set(["python", "javascript", "shell"]));
  expect(new Set(tasks.map(({ kind }) => kind))).toEqual(new Set(["function", "program", "repository"]));
  expect(tasks.filter(({ kind }) => kind === "repository").length).toBeGreaterThanOrEqual(3);
});

test("cheats differ between all tasks of the suite", () => {
  const names = tasks.flatMap((task) => task.cheats.map(({ name }) => name));
  for (const name of [
    "patched-report",
    "always-equal",
    "early-exit",
    "lookup-table",
    "deleted-tests",
    "conftest-passes",
  ])
    expect(names).toContain(name);
  for (const name of ["weakened-tests", "sitecustomize", "forged-output"]) expect(names).toContain(name);
});

test.each(each)("%s has at least two train verifiers, not only tests in its own process", (_id, task) => {
  const train = task.verifiers.filter(({ role }) => role === "train");
  expect(train.length).toBeGreaterThanOrEqual(2);
  expect(train.some((verifier) => !isInProcess(verifier))).toBe(true);
});

test.each(each)("%s has a gold of text files alone, so that every framework can write it", (_id, task) => {
  expect(task.gold.deleted).toEqual([]);
  expect(task.gold.script).toBeNull();
  for (const [path, { data }] of task.gold.files) {
    expect(asText(data), path).not.toBeNull();
    expect(task.files.get(path)?.data, path).not.toEqual(data);
  }
});

test.each(each)("%s has a cheat, and each says what it does", (_id, task) => {
  expect(task.cheats.length).toBeGreaterThanOrEqual(2);
  for (const { name, description } of task.cheats) expect(description.length, name).toBeGreaterThan(20);
});

test.each(each)("%s names its runtimes and tells nothing about verifiers", (_id, task) => {
  expect(task.runtimes.length).toBeGreaterThan(0);
  expect(task.instruction).not.toMatch(/verifier|differential|stdio|hidden|expected\.json/i);
});

test.each(each)("%s shows no hidden file in its workspace", (_id, task) => {
  const shown = new Set([...task.files.values()].map(({ data }) => asText(data)));
  const hidden = task.verifiers.flatMap((verifier) => (isInProcess(verifier) ? [] : [...verifier.files]));
  expect(hidden.length).toBeGreaterThan(0);
  const secret = hidden.filter(([path]) => /\.(py|mjs)$|expected\.json$|pinned\.json$/.test(path));
  for (const [path, { data }] of secret) expect(shown.has(asText(data)), path).toBe(false);
});

test.each(each)("%s has the files that its verifiers read", (_id, task) => {
  for (const { id, config, files } of task.verifiers) {
    if (id === "tests")
      expect(JSON.parse(asText(files.get("expected.json")?.data ?? new Uint8Array()) ?? "")).not.toEqual([]);
    if (id === "stdio")
      expect([...files.keys()].filter((path) => path.endsWith(".out")).length).toBeGreaterThanOrEqual(5);
    if (typeof config.entry === "string") expect(task.files.has(config.entry), config.entry).toBe(true);
  }
});
