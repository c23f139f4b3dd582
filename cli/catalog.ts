import * as z from "zod";
import type { Client } from "./client.ts";
import { CommandError, EXIT } from "./exit-codes.ts";

const MatrixRow = z.object({
  task_id: z.string(),
  framework: z.string(),
  verifiers: z.array(z.string()),
  /** ok: served. misfit: the framework cannot express it. unavailable: no worker here can run it. */
  status: z.enum(["ok", "misfit", "unavailable"]),
  reason: z.string().nullable(),
});
/** One task in one framework: which verifiers judge it there, or why it is not served. */
export type MatrixRow = z.infer<typeof MatrixRow>;
const Matrix = z.object({ cells: z.array(MatrixRow) });

export interface Selection {
  /** Glob over task ids; `*` stands for any characters. */
  readonly tasks: string;
  /** Globs over framework ids, separated by commas. */
  readonly frameworks: string;
}

/** The selected part of the matrix. Selecting nothing is an error: it must not look like success. */
export async function selectRows(client: Client, { tasks, frameworks }: Selection): Promise<MatrixRow[]> {
  const wanted = globs(frameworks);
  const { cells } = await client.get("/v1/matrix", Matrix, { query: { task: tasks } });
  const rows = cells.filter((row) => wanted(row.framework));
  if (rows.length === 0)
    throw new CommandError(
      EXIT.nothingMatched,
      `nothing matches ${tasks} in ${frameworks}`,
      "GET /v1/matrix lists tasks and frameworks",
    );
  return rows;
}

export const isServed = (row: MatrixRow): boolean => row.status === "ok";

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
    return new RegExp(`^${parts.join(".*")}$`);
  });
  return (name) => patterns.some((pattern) => pattern.test(name));
}
