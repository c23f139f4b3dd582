import * as z from "zod";
import type { Task, TaskVerifier } from "../../core/task.ts";
import { SubjectTarget, type Target, targetOf } from "../calls/subject-languages.ts";
import { judgeFileNames } from "../tests/config.ts";
import { type DifferentialInput, readPinned } from "./pinned.ts";

const DifferentialConfig = SubjectTarget.extend({
  inputs: z.strictObject({
    from: z.enum(["tests", "generator", "pinned"]),
    count: z.int().min(1).max(1000).default(40),
    /** Fewer inputs that gold accepts are our failure. */
    min_count: z.int().min(1).default(5),
  }),
  /** Inputs on which gold raises: left out, or the class of the exception is compared. */
  errors: z.enum(["discard", "compare"]).default("discard"),
  tolerance: z.number().min(0).default(0),
  compare: z.enum(["tokens", "exact"]).default("exact"),
});
type DifferentialConfig = z.infer<typeof DifferentialConfig>;

const GENERATORS: readonly string[] = ["generate.py", "generate.mjs"];

export type InputSource =
  | { readonly from: "tests"; readonly file: string; readonly count: number; readonly minCount: number }
  | { readonly from: "generator"; readonly file: string; readonly count: number; readonly minCount: number }
  | { readonly from: "pinned"; readonly minCount: number };

export interface DifferentialPlan {
  readonly target: Target;
  readonly source: InputSource;
  readonly pinned: readonly DifferentialInput[];
  readonly errors: DifferentialConfig["errors"];
  readonly tolerance: number;
  readonly compare: DifferentialConfig["compare"];
  readonly callTimeoutMs: number;
}

/** What the settings and files of a task ask for, or what is wrong with them. */
export function planDifferential(entry: TaskVerifier, task: Pick<Task, "language">): DifferentialPlan | string {
  const parsed = DifferentialConfig.safeParse(entry.config);
  if (!parsed.success) return `config: ${z.prettifyError(parsed.error)}`;
  const { inputs, errors, tolerance, compare, call_timeout_s, ...rest } = parsed.data;
  const target = targetOf({ ...rest, call_timeout_s }, task);
  if (typeof target === "string") return `config: ${target}`;
  const pinned = readPinned(entry.files);
  if (typeof pinned === "string") return pinned;
  const source = sourceOf(inputs, entry, target);
  if (typeof source === "string") return source;
  if (source.from === "pinned" && pinned.length === 0) return "pinned.json has no inputs";
  return { target, source, pinned, errors, tolerance, compare, callTimeoutMs: call_timeout_s * 1000 };
}

function sourceOf(inputs: DifferentialConfig["inputs"], entry: TaskVerifier, target: Target): InputSource | string {
  const { from, count, min_count: minCount } = inputs;
  if (from === "pinned") return { from, minCount: 1 };
  if (from === "tests" && target.type === "command") return "inputs of a command come from a generator or are pinned";
  const names = from === "tests" ? judgeFileNames(target) : GENERATORS;
  const file = names.find((name) => entry.files.has(name));
  return file === undefined ? `its folder needs ${names.join(" or ")}` : { from, file, count, minCount };
}
