import { expect, test } from "vitest";
import { TaskId } from "../core/ids.ts";
import { taskView } from "./task-view.ts";
import { openTaskCatalog } from "./tasks/catalog.ts";

test("a view has the instruction and the starting text files, sorted, and nothing else", async () => {
  const task = await openTaskCatalog({ home: "/nonexistent" }).load(TaskId.parse("demo/merge-intervals"));
  if (task === null) throw new Error("the demo suite is missing");
  const binary = { data: new Uint8Array([0xff, 0]), mode: 0o644 };
  const view = taskView({ ...task, files: new Map([...task.files, ["z.bin", binary]]) });
  expect(Object.keys(view).sort()).toEqual(["alias", "files", "instruction", "workspace"]);
  expect(view).toMatchObject({ instruction: task.instruction, workspace: "/workspace", alias: null });
  expect([...view.files.keys()]).toEqual(["solution.py", "test_examples.py"]);
});
