import { expect, test } from "vitest";
import { TaskId } from "../core/ids.ts";
import { openTaskCatalog } from "../environments/tasks/catalog.ts";
import { verifiers } from "../verifiers/catalog.ts";
import { forgeable } from "./validate.ts";

const bank = async () => {
  const task = await openTaskCatalog({ home: "/nonexistent" }).load(TaskId.parse("demo/bank-ledger"));
  if (task === null) throw new Error("demo/bank-ledger is built in");
  return task;
};

test("a suite in the attempt's own process may judge beside another verifier, never alone", async () => {
  const task = await bank();
  const alone = { ...task, verifiers: task.verifiers.filter((entry) => entry.id === "tests") };
  expect(alone.verifiers).toHaveLength(1);
  expect(forgeable({ verifiers }, alone)).toBe(true);
  expect(forgeable({ verifiers }, task)).toBe(false);
});
