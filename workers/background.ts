import { join } from "node:path";
import { GymError } from "../core/errors.ts";
import { TaskId } from "../core/ids.ts";
import type { ImportJob, ValidationJob } from "../core/jobs.ts";
import { Json } from "../core/json.ts";
import type { BackgroundJob } from "../core/records.ts";
import { importers } from "../environments/tasks/importers.ts";
import { publishTask } from "../environments/tasks/shared-catalog.ts";
import type { WorkerDeps } from "./deps.ts";
import { runValidation } from "./validate.ts";

/** Progress is written at most this often. */
const PROGRESS_EVERY_MS = 300;

/** Imports an upload into `<home>/tasks`. A task that cannot be written is a line of the report, not the end of the import. */
export async function importTasks(deps: WorkerDeps, home: string, job: ImportJob, signal: AbortSignal): Promise<void> {
  await withJob(deps, job.job_id, async (record, save) => {
    const importer = importers.get(job.format);
    if (importer === undefined)
      throw new GymError(
        "task_invalid",
        `there is no importer ${job.format}; choose from: ${[...importers.keys()].join(", ")}`,
      );
    const upload = await deps.store.blob(job.upload);
    if (upload === null) throw new GymError("store_failed", `upload ${job.upload} is not in the store`);
    const report = {
      written: 0,
      skipped: 0,
      failed: 0,
      tasks: [] as string[],
      problems: [] as { task: string; why: string }[],
    };
    const options = { source: job.source ?? undefined };
    for await (const line of importer.import(upload, join(home, "tasks"), options)) {
      signal.throwIfAborted();
      report[line.status]++;
      // One that was there already may have been published by nobody.
      if (line.status !== "failed") await publishTask({ home, store: deps.store }, TaskId.parse(line.id));
      if (line.status === "written") report.tasks.push(line.id);
      else report.problems.push({ task: line.id, why: line.reason ?? line.status });
      await save({ ...record, state: "running", done: report.written + report.skipped + report.failed, report });
    }
    await deps.tasks.refresh();
    return report;
  });
}

export async function validateTasks(deps: WorkerDeps, job: ValidationJob, signal: AbortSignal): Promise<void> {
  await withJob(deps, job.job_id, (record, save) =>
    runValidation(deps, job, record, (done, total) => save({ ...record, state: "running", done, total }), signal),
  );
}

/** Keeps the job's record while `work` runs; whatever happens, it ends `done` or `failed`. */
async function withJob(
  deps: WorkerDeps,
  id: BackgroundJob["job_id"],
  work: (record: BackgroundJob, save: (record: BackgroundJob) => Promise<void>) => Promise<unknown>,
): Promise<void> {
  const record = await deps.store.job(id);
  if (record === null || record.state === "done" || record.state === "failed") return;
  let latest = record;
  let savedAt = 0;
  const save = async (next: BackgroundJob) => {
    latest = { ...next, updated_at: Date.now() };
    if (latest.updated_at - savedAt < PROGRESS_EVERY_MS) return;
    savedAt = latest.updated_at;
    await deps.store.putJob(latest);
  };
  const finish = async (end: Pick<BackgroundJob, "state" | "error" | "report">) => {
    await deps.store.putJob({ ...latest, ...end, updated_at: Date.now() });
    await deps.mailbox.broadcast({ type: "job", job_id: id });
  };
  try {
    const report = Json.parse(await work(record, save));
    await finish({ state: "done", error: null, report });
  } catch (error) {
    deps.log.warn({ err: error, jobId: id }, "background job failed");
    await finish({
      state: "failed",
      error: error instanceof Error ? error.message : String(error),
      report: latest.report,
    });
  }
}
