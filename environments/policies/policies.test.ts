import { expect, test } from "vitest";
import { TaskId } from "../../core/ids.ts";
import type { Task } from "../../core/task.ts";
import { openTaskCatalog } from "../tasks/catalog.ts";
import { textFile } from "../tasks/folder.ts";
import { cheat } from "./cheat.ts";
import { gold } from "./gold.ts";
import { nothing } from "./nothing.ts";

const demoTask = async (name: string): Promise<Task> => {
  const task = await openTaskCatalog({ home: "/nonexistent" }).load(TaskId.parse(`demo/${name}`));
  if (task === null) throw new Error(`no task demo/${name}`);
  return task;
};

test("gold writes every file of the solution, with the text that it replaces, and finishes", async () => {
  const task = await demoTask("query-order");
  const intents = gold.intents(task, "gold");
  expect(intents.at(-1)).toEqual({ type: "finish" });
  const writes = intents.filter((intent) => intent.type === "write");
  expect(writes.map(({ path }) => path)).toEqual([...task.gold.files.keys()]);
  expect(intents).toHaveLength(writes.length + 1);
  for (const { path, before, content } of writes) {
    expect(before).toBe(Buffer.from(task.files.get(path)?.data ?? []).toString());
    expect(content).toBe(Buffer.from(task.gold.files.get(path)?.data ?? []).toString());
  }
});

test("a file that is new has no text before", async () => {
  const task = await demoTask("duration-parser");
  const writes = cheat.intents(task, "sitecustomize").filter((intent) => intent.type === "write");
  expect(writes.map(({ path, before }) => [path, before === null])).toEqual([
    ["durations.py", false],
    ["sitecustomize.py", true],
  ]);
});

test("nothing only finishes", async () => {
  const task = await demoTask("formula");
  expect(nothing.variants(task)).toEqual(["nothing"]);
  expect(nothing.intents(task, "nothing")).toEqual([{ type: "finish" }]);
});

test("a cheat deletes after it has written and runs its script last", async () => {
  const task = await demoTask("bank-ledger");
  const change = {
    name: "all",
    description: "all three",
    files: new Map([["new.txt", textFile("x\n")]]),
    deleted: ["tests/test_money.py"],
    script: "true\n",
  };
  expect(cheat.intents({ ...task, cheats: [change] }, "all")).toEqual([
    { type: "write", path: "new.txt", before: null, content: "x\n" },
    { type: "delete", path: "tests/test_money.py" },
    { type: "run", command: "true\n" },
    { type: "finish" },
  ]);
});

test("cheat has one variant per cheat of the task", async () => {
  const task = await demoTask("bank-ledger");
  expect(cheat.variants(task)).toEqual(["conftest-passes", "deleted-tests", "patched-report", "weakened-tests"]);
  expect(gold.variants(task)).toEqual(["gold"]);
});

test("an unknown cheat is task_invalid and names those there are", async () => {
  const task = await demoTask("formula");
  expect(() => cheat.intents(task, "none")).toThrow(/has no cheat "none", only: agreeable-int, python-eval/);
});

test("a solution that is no text cannot be written by a policy", async () => {
  const task = await demoTask("formula");
  const files = new Map([["x.bin", { data: new Uint8Array([0xff]), mode: 0o644 }]]);
  expect(() => gold.intents({ ...task, gold: { ...task.gold, files } }, "gold")).toThrow(/x\.bin: must be UTF-8 text/);
});
