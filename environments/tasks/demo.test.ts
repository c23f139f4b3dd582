import { expect, test } from "vitest";
import { TaskId } from "../../core/ids.ts";
import type { FileTree, Task } from "../../core/task.ts";
import { openTaskCatalog } from "./catalog.ts";
import { asText } from "./folder-tree.ts";

const catalog = openTaskCatalog({ home: "/nonexistent" });
const summaries = await catalog.list();
const tasks = (await Promise.all(summaries.map(({ id }) => catalog.load(TaskId.parse(id))))).filter(
  (task) => task !== null,
);
const each = tasks.map((task): [string, Task] => [task.id, task]);

const verifierOf = (task: Task, id: string) => task.verifiers.find((verifier) => verifier.id === id);
const textOf = (files: FileTree, path: string): string | null => asText(files.get(path)?.data ?? new Uint8Array());
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
  const gold = [...task.gold.files].map(([path, { data }]) => ({
    text: asText(data),
    before: textOf(task.files, path),
  }));
  expect(gold.filter(({ text, before }) => text === null || text === before)).toEqual([]);
});

test.each(each)("%s has two cheats or more, and each says what it does", (_id, task) => {
  expect(task.cheats.length).toBeGreaterThanOrEqual(2);
  expect(task.cheats.filter(({ description }) => description.length < 20)).toEqual([]);
});

test.each(each)("%s names its runtimes and tells nothing about verifiers", (_id, task) => {
  expect(task.runtimes.length).toBeGreaterThan(0);
  expect(task.instruction).not.toMatch(/verifier|differential|stdio|hidden|expected\.json/i);
});

test.each(each)("%s shows no hidden file in its workspace", (_id, task) => {
  const shown = new Set([...task.files.values()].map(({ data }) => asText(data)));
  const hidden = task.verifiers.flatMap((verifier) => (isInProcess(verifier) ? [] : [...verifier.files]));
  const secret = hidden.filter(([path]) => /\.(py|mjs)$|expected\.json$|pinned\.json$/.test(path));
  expect(secret.length).toBeGreaterThan(0);
  expect(secret.filter(([, { data }]) => shown.has(asText(data))).map(([path]) => path)).toEqual([]);
});

test.each(each.filter(([, task]) => verifierOf(task, "tests") !== undefined))("%s expects tests", (_id, task) => {
  const expected: unknown = JSON.parse(
    textOf(verifierOf(task, "tests")?.files ?? new Map(), "expected.json") ?? "null",
  );
  expect(Array.isArray(expected) && expected.length > 0 && new Set(expected).size === expected.length).toBe(true);
});

test.each(each.filter(([, task]) => verifierOf(task, "stdio") !== undefined))("%s has cases", (_id, task) => {
  const paths = [...(verifierOf(task, "stdio")?.files.keys() ?? [])];
  expect(paths.filter((path) => /^cases\/[^/]+\.out$/.test(path)).length).toBeGreaterThanOrEqual(5);
});

test.each(each)("%s starts with the entry file that its verifiers call", (_id, task) => {
  const entries = task.verifiers.flatMap(({ config }) => (typeof config.entry === "string" ? [config.entry] : []));
  expect(entries.filter((entry) => !task.files.has(entry))).toEqual([]);
});
