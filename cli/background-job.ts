import type * as z from "zod";
import { BackgroundJob as BackgroundJobRecord } from "../core/records.ts";
import type { Client } from "./client.ts";
import { CommandError, EXIT } from "./exit-codes.ts";

/** An import, a validation or work on images as the API shows it. */
export const BackgroundJob = BackgroundJobRecord.pick({
  job_id: true,
  kind: true,
  state: true,
  done: true,
  total: true,
  report: true,
  error: true,
});
export type BackgroundJob = z.infer<typeof BackgroundJob>;

/** Seconds of one waiting call; progress is shown between calls. */
const WAIT_S = 1;

/** Waits until it is over; a failed one is an error with the job's own reason. */
export async function finishJob(
  client: Client,
  path: "/v1/imports" | "/v1/validations" | "/v1/builds",
  started: BackgroundJob,
  {
    signal,
    onProgress,
  }: { readonly signal: AbortSignal; readonly onProgress: (job: BackgroundJob) => void | Promise<void> },
): Promise<BackgroundJob> {
  let job = started;
  while (job.state === "queued" || job.state === "running") {
    await onProgress(job);
    job = await client.get(`${path}/${job.job_id}`, BackgroundJob, { query: { wait_s: WAIT_S }, signal });
  }
  if (job.state === "failed")
    throw new CommandError(EXIT.failed, `${job.kind} failed: ${job.error ?? "no reason given"}`, `job ${job.job_id}`);
  return job;
}
