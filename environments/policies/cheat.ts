import { GymError } from "../../core/errors.ts";
import type { ScriptedPolicy } from "../../core/policy.ts";
import { changeIntents } from "./change-intents.ts";

/** Tries to be rewarded without solving the task; one variant per cheat that the task knows. */
export const cheat: ScriptedPolicy = {
  id: "cheat",
  variants: (task) => task.cheats.map(({ name }) => name),
  intents: (task, variant) => {
    const change = task.cheats.find(({ name }) => name === variant);
    if (change === undefined)
      throw new GymError(
        "task_invalid",
        `${task.id} has no cheat ${JSON.stringify(variant)}, only: ${task.cheats.map(({ name }) => name).join(", ")}`,
      );
    return changeIntents(task, change);
  },
};
