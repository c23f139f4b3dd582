import type { Framework } from "../core/framework.ts";
import { anthropicBashEditor } from "./frameworks/anthropic-bash-editor/framework.ts";
import { miniSweToolcall } from "./frameworks/mini-swe-toolcall/framework.ts";

/** One line per framework. */
export const frameworks: readonly Framework[] = [miniSweToolcall, anthropicBashEditor];

export const findFramework = (id: string): Framework | undefined => frameworks.find((framework) => framework.id === id);
