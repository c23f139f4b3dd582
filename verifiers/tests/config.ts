import * as z from "zod";
import type { Task, TaskVerifier } from "../../core/task.ts";
import { SubjectTarget, type Target, targetOf } from "../calls/subject-languages.ts";

export const ProxiedConfig = SubjectTarget.extend({ mode: z.literal("proxied") });
export type ProxiedConfig = z.infer<typeof ProxiedConfig>;

export const InProcessConfig = z.strictObject({
  mode: z.literal("in-process"),
  runner: z.literal("pytest"),
  /** Folders and files below the workspace that belong to the tests. */
  paths: z.array(z.string().min(1)).min(1),
  /** Folders below the workspace that tests import from. */
  python_path: z.array(z.string().min(1)).default(["."]),
});
export type InProcessConfig = z.infer<typeof InProcessConfig>;

const Config = z.discriminatedUnion("mode", [ProxiedConfig, InProcessConfig]);
const ExpectedIds = z.array(z.string().min(1)).min(1);

const JUDGE_FILES = { python: "test_hidden.py", javascript: "hidden.test.mjs" } as const;
export const EXPECTED_FILE = "expected.json";

export type TestPlan =
  | {
      readonly type: "proxied";
      readonly target: Target;
      readonly callTimeoutMs: number;
      readonly judgeFile: string;
      readonly expected: readonly string[];
    }
  | { readonly type: "in-process"; readonly config: InProcessConfig; readonly expected: readonly string[] };

/** What the settings and files of a task ask for, or what is wrong with them. */
export function planTests(entry: TaskVerifier, task: Pick<Task, "language">): TestPlan | string {
  const config = Config.safeParse(entry.config);
  if (!config.success) return `config: ${z.prettifyError(config.error)}`;
  const expected = expectedIds(entry);
  if (typeof expected === "string") return expected;
  if (config.data.mode === "in-process") {
    if (task.language !== "python") return "in-process tests are for Python repositories";
    return { type: "in-process", config: config.data, expected };
  }
  const { mode: _mode, ...settings } = config.data;
  const target = targetOf(settings, task);
  if (typeof target === "string") return `config: ${target}`;
  const judgeFile = judgeFileOf(entry, target);
  if (judgeFile === null) return `its folder needs ${judgeFileNames(target).join(" or ")}`;
  return { type: "proxied", target, callTimeoutMs: settings.call_timeout_s * 1000, judgeFile, expected };
}

/** Functions are judged in their own language; programs in any. */
export const judgeFileNames = (target: Target): string[] =>
  target.type === "functions" ? [JUDGE_FILES[target.language]] : Object.values(JUDGE_FILES);

export const judgeFileOf = (entry: TaskVerifier, target: Target): string | null =>
  judgeFileNames(target).find((name) => entry.files.has(name)) ?? null;

function expectedIds(entry: TaskVerifier): string[] | string {
  const file = entry.files.get(EXPECTED_FILE);
  if (file === undefined) return `its folder needs ${EXPECTED_FILE}`;
  try {
    const ids = ExpectedIds.parse(JSON.parse(Buffer.from(file.data).toString("utf8")));
    return new Set(ids).size === ids.length ? ids : `${EXPECTED_FILE} names a test twice`;
  } catch (error) {
    return `${EXPECTED_FILE}: ${error instanceof Error ? error.message : String(error)}`;
  }
}
