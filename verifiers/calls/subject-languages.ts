import * as z from "zod";
import type { FileTree, Task, TaskFile } from "../../core/task.ts";
import type { ProgramLanguage } from "./program-text.ts";

/** Settings that say how a subject is called; shared by the verifiers that call it. */
export const SubjectTarget = z.strictObject({
  /** Path of the module below the workspace. */
  entry: z.string().min(1).optional(),
  functions: z.array(z.string().min(1)).min(1).optional(),
  /** Program and arguments, run in the workspace. */
  command: z.array(z.string().min(1)).min(1).optional(),
  call_timeout_s: z.number().positive().max(3600).default(10),
});

export type Target =
  | {
      readonly type: "functions";
      readonly language: ProgramLanguage;
      readonly entry: string;
      readonly functions: readonly string[];
    }
  | { readonly type: "command"; readonly command: readonly string[] };

/** What is called, or why the settings do not say it. */
export function targetOf(config: z.infer<typeof SubjectTarget>, task: Pick<Task, "language">): Target | string {
  const { entry, functions, command } = config;
  if (command !== undefined)
    return entry === undefined && functions === undefined
      ? { type: "command", command }
      : "command excludes entry and functions";
  if (entry === undefined || functions === undefined) return "either command, or entry and functions must be given";
  if (task.language === "shell") return "functions of a shell task cannot be called";
  return { type: "functions", language: task.language, entry, functions };
}

/** How the harness and a judge name the module at a path: `pkg/core.py` is `pkg.core` in Python. */
export const moduleName = (entry: string, language: ProgramLanguage): string =>
  language === "python" ? entry.replace(/\.py$/, "").replaceAll("/", ".") : entry;

export const languageOfFile = (name: string): ProgramLanguage => (name.endsWith(".py") ? "python" : "javascript");

/** Name among an image's runtimes. */
export const interpreterOf = (language: ProgramLanguage): string => (language === "python" ? "python3" : "node");

const file = (text: string): TaskFile => ({ data: Buffer.from(text), mode: 0o644 });

/** The files of a judge: the hidden ones, and for JavaScript the module that stands in the place of the subject's. */
export function judgeFiles(hidden: FileTree, judge: ProgramLanguage, target: Target): FileTree {
  if (judge === "python") return hidden;
  const files = new Map(hidden);
  const judgeOf = `globalThis[Symbol.for("polygym.judge")]`;
  if (target.type === "command") files.set("program.js", file(`export const run = ${judgeOf}.run;\n`));
  else {
    const made = target.functions.map(
      (name) => `export const ${name} = (...args) => ${judgeOf}.call("${name}", args);\n`,
    );
    files.set(target.entry, file(made.join("")));
  }
  if (!files.has("package.json")) files.set("package.json", file('{ "type": "module" }\n'));
  return files;
}
