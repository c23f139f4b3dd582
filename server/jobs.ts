import type { Readable } from "node:stream";
import * as z from "zod";
import type { ValidationBody } from "../core/api.ts";
import { ProblemError } from "../core/errors.ts";
import { type JobId, newJobId } from "../core/ids.ts";
import { BackgroundJob } from "../core/records.ts";
import type { Caller } from "./auth/caller.ts";
import { nearest } from "./nearest.ts";
import type { Parts } from "./parts.ts";
import { isOver, nextLook, type Wait } from "./wait.ts";

/** Longest upload: it is held in memory once, on its way to the store. */
export const MAX_UPLOAD_BYTES = 256 * 1024 * 1024;

export const JobAnswer = BackgroundJob.pick({
  job_id: true,
  kind: true,
  state: true,
  done: true,
  total: true,
  report: true,
  error: true,
});
export type JobAnswer = z.infer<typeof JobAnswer>;

export const ImportQuery = z.object({
  format: z.string().min(1).max(64),
  source: z
    .string()
    .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, "must be a source: a-z 0-9 . _ -")
    .optional()
    .describe("first part of the tasks' ids [the format]"),
});
export type ImportQuery = z.infer<typeof ImportQuery>;

export async function readUpload(upload: Readable): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of upload as AsyncIterable<Buffer>) {
    // a request without an encoding gives buffers
    bytes += chunk.length;
    if (bytes > MAX_UPLOAD_BYTES)
      throw new ProblemError(
        "payload_too_large",
        `an upload has at most ${MAX_UPLOAD_BYTES} bytes`,
        "split it into several imports",
      );
    chunks.push(chunk);
  }
  if (bytes === 0) throw new ProblemError("invalid_request", "the upload is empty", "send the file as the body");
  return Buffer.concat(chunks);
}

/** Checked before the upload is read. */
export function checkFormat(parts: Parts, format: string): void {
  const { formats } = parts.catalog;
  if (formats.includes(format)) return;
  const near = nearest(format, formats);
  const hint = `choose from: ${formats.join(", ")}`;
  throw new ProblemError(
    "invalid_request",
    `there is no format ${format}`,
    near === null ? hint : `did you mean ${near}? ${hint}`,
  );
}

export async function startImport(
  parts: Parts,
  caller: Caller,
  query: ImportQuery,
  upload: Uint8Array,
): Promise<JobAnswer> {
  checkFormat(parts, query.format);
  const digest = await parts.store.putBlob(upload);
  const job = await putJob(parts, caller, { kind: "import" });
  await parts.queues.addImport({
    job_id: job.job_id,
    format: query.format,
    upload: digest,
    source: query.source ?? null,
  });
  return answerOf(job);
}

export async function startValidation(parts: Parts, caller: Caller, body: ValidationBody): Promise<JobAnswer> {
  const known = (await parts.cells.tasks(caller)).map((task) => task.id);
  const tasks = new Set<string>();
  for (const pattern of body.tasks) {
    const matching = known.filter(matcher(pattern));
    if (matching.length === 0)
      throw new ProblemError(
        "unknown_task",
        `no task matches ${pattern}`,
        "GET /v1/tasks lists them; * stands for any characters",
      );
    for (const id of matching) tasks.add(id);
  }
  const frameworks = body.frameworks ?? parts.cells.frameworks(caller).map((framework) => framework.id);
  for (const id of frameworks) parts.cells.framework(caller, id);
  for (const id of body.verifiers ?? []) parts.cells.verifier(caller, id);
  const job = await putJob(parts, caller, { kind: "validation" });
  await parts.queues.addValidation({
    job_id: job.job_id,
    tasks: [...tasks],
    frameworks,
    verifiers: body.verifiers ?? null,
  });
  return answerOf(job);
}

/** A glob with `*` only, compared from the start to the end. */
export function matcher(pattern: string): (id: string) => boolean {
  const pieces = pattern.split("*");
  const [head = "", ...rest] = pieces;
  return (id) => {
    if (rest.length === 0) return id === head;
    if (!id.startsWith(head)) return false;
    const tail = rest.at(-1) ?? "";
    let at = head.length;
    for (const piece of rest.slice(0, -1)) {
      const found = id.indexOf(piece, at);
      if (found < 0) return false;
      at = found + piece.length;
    }
    return id.length - tail.length >= at && id.endsWith(tail);
  };
}

export async function putJob(
  parts: Parts,
  caller: Caller,
  { kind, job_id = newJobId() }: { readonly kind: BackgroundJob["kind"]; readonly job_id?: JobId },
): Promise<BackgroundJob> {
  const now = Date.now();
  const job: BackgroundJob = {
    job_id,
    kind,
    owner: caller.tokenId,
    state: "queued",
    done: 0,
    total: null,
    report: [],
    error: null,
    created_at: now,
    updated_at: now,
  };
  await parts.store.putJob(job);
  return job;
}

/** One's own, and an operator everybody's; waits until it has ended. */
export async function getJob(
  parts: Parts,
  caller: Caller,
  wanted: { readonly id: JobId; readonly kind: BackgroundJob["kind"] },
  wait: Wait,
): Promise<JobAnswer> {
  using watch = parts.hub.watch(wanted.id);
  for (;;) {
    const job = await parts.store.job(wanted.id);
    if (job === null || job.kind !== wanted.kind || !(job.owner === caller.tokenId || caller.roles.has("operator")))
      throw new ProblemError(
        "not_found",
        `there is no ${wanted.kind} ${wanted.id}`,
        `POST /v1/${wanted.kind === "build" ? "images" : `${wanted.kind}s`} starts one`,
      );
    if (job.state === "done" || job.state === "failed" || isOver(wait)) {
      // The worker wrote task folders beside this process: read them anew before anybody asks for them.
      if (job.kind === "import" && job.state === "done") await parts.catalog.tasks.refresh();
      return answerOf(job);
    }
    await nextLook(watch, wait);
  }
}

export const answerOf = ({ job_id, kind, state, done, total, report, error }: BackgroundJob): JobAnswer => ({
  job_id,
  kind,
  state,
  done,
  total,
  report,
  error,
});
