import type { Framework } from "../core/framework.ts";
import type { ScriptedPolicy } from "../core/policy.ts";
import { aiderDiff } from "./frameworks/aider-diff/framework.ts";
import { anthropicBashEditor } from "./frameworks/anthropic-bash-editor/framework.ts";
import { miniSweToolcall } from "./frameworks/mini-swe-toolcall/framework.ts";
import { cheat } from "./policies/cheat.ts";
import { gold } from "./policies/gold.ts";
import { nothing } from "./policies/nothing.ts";

/** One line per framework. */
export const frameworks: readonly Framework[] = [miniSweToolcall, anthropicBashEditor, aiderDiff];

export const findFramework = (id: string): Framework | undefined => frameworks.find((framework) => framework.id === id);

/** One line per scripted policy. */
export const policies: readonly ScriptedPolicy[] = [gold, nothing, cheat];
export { taskView } from "./task-view.ts";
