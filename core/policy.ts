import * as z from "zod";
import type { Task } from "./task.ts";

/** What a scripted policy wants, free of any framework's language (runtime.md §6). */
export type Intent =
  | { readonly type: "write"; readonly path: string; readonly before: string | null; readonly content: string }
  | { readonly type: "delete"; readonly path: string }
  | { readonly type: "run"; readonly command: string }
  | { readonly type: "finish" };
export type IntentType = Intent["type"];

export const SCRIPTS = ["gold", "nothing", "cheat"] as const;
export const ScriptName = z.enum(SCRIPTS);
export type ScriptName = z.infer<typeof ScriptName>;

/** Pure: the same task and variant give the same intents. The last one is `finish`. */
export interface ScriptedPolicy {
  readonly id: ScriptName;
  /** Names of the attempts it can make at a task: one for gold and nothing, one per cheat. */
  variants(task: Task): readonly string[];
  intents(task: Task, variant: string): readonly Intent[];
}
