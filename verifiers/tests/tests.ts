import { GymError } from "../../core/errors.ts";
import type { Task } from "../../core/task.ts";
import type { Verifier } from "../../core/verifier.ts";
import { planTests, type TestPlan } from "./config.ts";
import { verifyInProcess } from "./in-process.ts";
import { verifyProxied } from "./proxied.ts";

function planOf(task: Task): TestPlan | string {
  const entry = task.verifiers.find(({ id }) => id === tests.id);
  return entry === undefined ? "the task lists no tests" : planTests(entry, task);
}

export const tests: Verifier = {
  id: "tests",
  version: "1",
  title: "Hidden tests",
  description: [
    "Runs the task's hidden tests; the score is 1 when exactly the expected ones passed, each once.",
    "Functions and programs are tested from outside: the assertions run in a sandbox of their own and only plain data passes, so",
    "patched test frameworks, early exits, objects that equal everything, printed reports and code that reads the tests score 0.",
    "It cannot see a solution that knows the hidden inputs, nor check functions passed as arguments, generators, or instances",
    "of the attempt's own classes.",
    "Suites of repositories run in the attempt's own process, beside twins and calibration tests whose outcome is decided outside:",
    "forged reports, deleted or skipped tests and swallowed assertions score 0. Code written against this very verifier,",
    "that reads the expected values from the test files or changes what the bodies compute, can still pass; such a suite never",
    "judges alone.",
  ].join(" "),
  split: "train",
  graded: false,
  sharesProcess(task) {
    const plan = planOf(task);
    return typeof plan !== "string" && plan.type !== "proxied";
  },
  mismatch(task) {
    const plan = planOf(task);
    return typeof plan === "string" ? plan : null;
  },
  async verify(room) {
    const plan = planOf(room.task);
    if (typeof plan === "string") throw new GymError("task_invalid", `${room.task.id}: ${plan}`);
    return plan.type === "proxied" ? verifyProxied(room, plan) : verifyInProcess(room, plan);
  },
};
