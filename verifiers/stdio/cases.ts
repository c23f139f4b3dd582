import * as z from "zod";
import type { FileTree, TaskVerifier } from "../../core/task.ts";

export const StdioConfig = z.strictObject({
  /** Program and arguments, run in the workspace. */
  command: z.array(z.string().min(1)).min(1),
  compare: z.enum(["tokens", "exact"]).default("tokens"),
  /** Time of one case. */
  timeout_s: z.number().positive().max(3600).default(10),
});
export type StdioConfig = z.infer<typeof StdioConfig>;

const CaseOptions = z.strictObject({
  args: z.array(z.string()).default([]),
  files: z.record(z.string(), z.string()).default({}),
  exit_code: z.int().min(0).max(255).default(0),
});

export interface StdioCase extends z.infer<typeof CaseOptions> {
  readonly id: string;
  readonly stdin: string;
  readonly stdout: string;
}

export interface StdioPlan {
  readonly config: StdioConfig;
  readonly cases: readonly StdioCase[];
}

const FOLDER = "cases/";

/** The cases of a task, or what is wrong with its settings and files. */
export function planStdio(entry: TaskVerifier): StdioPlan | string {
  const config = StdioConfig.safeParse(entry.config);
  if (!config.success) return `config: ${z.prettifyError(config.error)}`;
  const ids = [...entry.files.keys()].flatMap((path) =>
    path.startsWith(FOLDER) && path.endsWith(".out") ? [path.slice(FOLDER.length, -".out".length)] : [],
  );
  if (ids.length === 0) return `there is no ${FOLDER}<id>.out`;
  const cases: StdioCase[] = [];
  for (const id of ids) {
    const options = caseOptions(entry.files, id);
    if (typeof options === "string") return options;
    const text = (kind: string) => Buffer.from(entry.files.get(`${FOLDER}${id}.${kind}`)?.data ?? "").toString("utf8");
    cases.push({ id, stdin: text("in"), stdout: text("out"), ...options });
  }
  return { config: config.data, cases };
}

function caseOptions(files: FileTree, id: string): z.infer<typeof CaseOptions> | string {
  const path = `${FOLDER}${id}.json`;
  const file = files.get(path);
  if (file === undefined) return CaseOptions.parse({});
  try {
    return CaseOptions.parse(JSON.parse(Buffer.from(file.data).toString("utf8")));
  } catch (error) {
    return `${path}: ${error instanceof Error ? error.message : String(error)}`;
  }
}
