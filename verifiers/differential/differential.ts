import { GymError } from "../../core/errors.ts";
import type { Task } from "../../core/task.ts";
import type { Judgement, Room, Verifier } from "../../core/verifier.ts";
import { deadlineIn } from "../calls/deadline.ts";
import { type DifferentialPlan, planDifferential } from "./config.ts";
import { compareFunctions } from "./functions.ts";
import { comparePrograms } from "./programs.ts";

function planOf(task: Task): DifferentialPlan | string {
  const entry = task.verifiers.find(({ id }) => id === differential.id);
  return entry === undefined ? "the task lists no differential" : planDifferential(entry, task);
}

export const differential: Verifier = {
  id: "differential",
  version: "1",
  title: "Differential against the reference",
  description: [
    "Calls the attempt and the reference solution on fresh inputs, drawn by a seed that no attempt knows, and compares their",
    "answers outside both sandboxes: by type and value, floating-point numbers within the task's tolerance.",
    "It catches tables of known answers, special cases for known inputs, objects that equal everything and forged reports.",
    "It cannot see faults on inputs that its generator does not reach or on which the reference raises, and it takes the",
    "reference's word where a task allows several answers.",
  ].join(" "),
  split: "train",
  graded: false,
  sharesProcess: () => false,
  mismatch(task) {
    const plan = planOf(task);
    return typeof plan === "string" ? plan : null;
  },
  async verify(room: Room): Promise<Judgement> {
    const plan = planOf(room.task);
    if (typeof plan === "string") throw new GymError("task_invalid", `${room.task.id}: ${plan}`);
    const { target, ...rest } = plan;
    const deadline = deadlineIn(room.limits.wallMs);
    const { checks, discarded } =
      target.type === "functions"
        ? await compareFunctions(room, { ...rest, target }, deadline)
        : await comparePrograms(room, { ...rest, target }, deadline);
    const agreed = checks.filter(({ status }) => status === "passed").length;
    return {
      score: agreed === checks.length ? 1 : 0,
      checks: [...checks],
      flags: [],
      detail: { agreed, total: checks.length, discarded },
    };
  },
};
