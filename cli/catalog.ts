import * as z from "zod";
import type { Client } from "./client.ts";
import { CommandError, EXIT } from "./exit-codes.ts";

const MatrixRow = z.object({
  task_id: z.string(),
  framework: z.string(),
  verifiers: z.array(z.string()),
  available: z.boolean(),
  reason: z.string().nullable(),
});
/** One task in one framework: which verifiers judge it there, or why it is not served. */
export type MatrixRow = z.infer<typeof MatrixRow>;
const Matrix = z.object({ items: z.array(MatrixRow) });

export interface Selection {
  /** Glob over task ids; `*` stays within one part of the id. */
  readonly tasks: string;
  /** Globs over framework ids, separated by commas. */
  readonly frameworks: string;
}

/** The selected part of the matrix. Selecting nothing is an error: it must not look like success. */
export async function selectRows(client: Client, { tasks, frameworks }: Selection): Promise<MatrixRow[]> {
  const wantedTask = globs(tasks);
  const wantedFramework = globs(frameworks);
  const { items } = await client.get("/v1/matrix", Matrix);
  const rows = items.filter((row) => wantedTask(row.task_id) && wantedFramework(row.framework));
  if (rows.length === 0)
    throw new CommandError(
      EXIT.nothingMatched,
      `nothing matches ${tasks} in ${frameworks}`,
      "GET /v1/matrix lists tasks and frameworks",
    );
  return rows;
}

const TaskScripts = z.object({ scripts: z.object({ cheat: z.array(z.string()) }) });

/** Names of the cheats that a task knows. */
export async function cheatsOf(client: Client, task: string): Promise<readonly string[]> {
  return (await client.get(`/v1/tasks/${task}`, TaskScripts)).scripts.cheat;
}

/** Whether a name matches one of the globs in a comma-separated list. */
export function globs(list: string): (name: string) => boolean {
  const patterns = list.split(",").map((glob) => {
    const parts = glob
      .trim()
      .split("*")
      .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
    return new RegExp(`^${parts.join("[^/]*")}$`);
  });
  return (name) => patterns.some((pattern) => pattern.test(name));
}
