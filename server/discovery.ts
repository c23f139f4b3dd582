import * as z from "zod";
import type { Framework } from "../core/framework.ts";
import { JsonObject } from "../core/json.ts";
import { ScriptName } from "../core/policy.ts";
import type { Task } from "../core/task.ts";
import { Split, TaskSummary } from "../core/task.ts";
import type { Verifier } from "../core/verifier.ts";
import { type Caller, seesScripts, seesSplit } from "./auth/caller.ts";
import type { Parts } from "./parts.ts";

export const TaskItem = TaskSummary.extend({
  unavailable: z.string().nullable().describe("why no worker here can run it; null when one can"),
});
export type TaskItem = z.infer<typeof TaskItem>;

export const TaskDetail = TaskItem.extend({
  instruction: z.string(),
  files: z.array(z.object({ path: z.string(), bytes: z.int() })).describe("starting files of the workspace"),
  wall_s: z.number(),
  frameworks: z.array(z.object({ id: z.string(), misfit: z.string().nullable() })),
  scripts: z
    .partialRecord(ScriptName, z.array(z.string()))
    .optional()
    .describe("variants of the scripted policies; shown to authors and operators"),
});
export type TaskDetail = z.infer<typeof TaskDetail>;

export const FrameworkItem = z.object({
  id: z.string(),
  version: z.string(),
  title: z.string(),
  description: z.string(),
  split: Split,
  family: z.string(),
  accepts: z.enum(["message", "text"]),
  axes: z.record(z.string(), z.string()),
  needs: z.array(z.string()),
  intents: z.array(z.string()),
  config: JsonObject.describe("JSON schema of framework_config"),
});
export type FrameworkItem = z.infer<typeof FrameworkItem>;

export const VerifierItem = z.object({
  id: z.string(),
  version: z.string(),
  title: z.string(),
  description: z.string(),
  split: Split,
  graded: z.boolean(),
});
export type VerifierItem = z.infer<typeof VerifierItem>;

export const CELL_STATUSES = ["ok", "misfit", "unavailable"] as const;
export const MatrixCell = z.object({
  task_id: z.string(),
  framework: z.string(),
  verifiers: z.array(z.string()).describe("those that can judge it"),
  status: z.enum(CELL_STATUSES),
  reason: z.string().nullable(),
});
export type MatrixCell = z.infer<typeof MatrixCell>;

export async function taskItem(parts: Parts, summary: TaskSummary): Promise<TaskItem> {
  return { ...summary, unavailable: await parts.cells.unavailable(summary) };
}

export async function taskDetail(parts: Parts, caller: Caller, id: string): Promise<TaskDetail> {
  const { summary, task } = await parts.cells.task(caller, id);
  return {
    ...(await taskItem(parts, summary)),
    verifiers: summary.verifiers.filter((verifier) =>
      parts.cells.verifiers(caller).some((seen) => seen.id === verifier.id),
    ),
    instruction: task.instruction,
    files: [...task.files].map(([path, { data }]) => ({ path, bytes: data.byteLength })),
    wall_s: task.wallS,
    frameworks: parts.cells.frameworks(caller).map((framework) => ({
      id: framework.id,
      misfit: parts.cells.misfit(task, framework),
    })),
    ...(seesScripts(caller) ? { scripts: scriptsOf(parts, task) } : {}),
  };
}

const scriptsOf = (parts: Parts, task: Task): NonNullable<TaskDetail["scripts"]> =>
  Object.fromEntries(parts.catalog.policies.map((policy) => [policy.id, [...policy.variants(task)]]));

export function frameworkItem(framework: Framework): FrameworkItem {
  const { id, version, title, description, split, family, accepts, axes, needs, intents } = framework;
  return {
    id,
    version,
    title,
    description,
    split,
    family,
    accepts,
    axes: { ...axes },
    needs: [...needs].sort(),
    intents: [...intents].sort(),
    config: JsonObject.parse(
      JSON.parse(JSON.stringify(z.toJSONSchema(framework.config, { io: "input", unrepresentable: "any" }))),
    ),
  };
}

export const verifierItem = ({ id, version, title, description, split, graded }: Verifier): VerifierItem => ({
  id,
  version,
  title,
  description,
  split,
  graded,
});

/** Every task × framework as the caller sees them, with the verifiers that can judge it. */
export async function matrixOf(
  parts: Parts,
  caller: Caller,
  wanted: { readonly task: (id: string) => boolean; readonly framework: (id: string) => boolean },
): Promise<MatrixCell[]> {
  const cells: MatrixCell[] = [];
  const visible = parts.cells.frameworks(caller).filter((framework) => wanted.framework(framework.id));
  for (const { id } of (await parts.cells.tasks(caller)).filter((task) => wanted.task(task.id))) {
    const task = await parts.cells.load(id);
    if (task === null) continue;
    const verifiers = parts.cells
      .eligible(task)
      .filter((verifier) => seesSplit(caller, verifier.split))
      .map((verifier) => verifier.id);
    for (const framework of visible) cells.push(await cellOf(parts, task, framework, verifiers));
  }
  return cells;
}

async function cellOf(parts: Parts, task: Task, framework: Framework, verifiers: string[]): Promise<MatrixCell> {
  const head = { task_id: task.id, framework: framework.id, verifiers };
  const misfit = parts.cells.misfit(task, framework);
  if (misfit !== null) return { ...head, status: "misfit", reason: misfit };
  const reason = await parts.cells.unavailable(task, framework);
  return { ...head, status: reason === null ? "ok" : "unavailable", reason };
}
