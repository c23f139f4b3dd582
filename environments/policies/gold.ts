import type { ScriptedPolicy } from "../../core/policy.ts";
import { changeIntents } from "./change-intents.ts";

/** Writes the task's own solution. */
export const gold: ScriptedPolicy = {
  id: "gold",
  variants: () => ["gold"],
  intents: (task) => changeIntents(task, task.gold),
};
