import * as z from "zod";
import { Digest, EpisodeId, JobId, TaskId } from "./ids.ts";

/** BullMQ queues. BullMQ is transport: the store's record is the truth (runtime.md §2). */
export const QUEUE_NAMES = ["episode", "verify", "import", "validation", "build"] as const;
export type QueueName = (typeof QUEUE_NAMES)[number];

/** One job = one live episode. Job id `<episode_id>-t<term>`: `term` is the one that the worker asks for. */
export const EpisodeJob = z.object({ episode_id: EpisodeId, term: z.int().min(1) });
export type EpisodeJob = z.infer<typeof EpisodeJob>;

/** What a `POST /v1/verify` asks of the worker that judges it. */
export const VerifyRequestBlob = z.object({
  task_id: z.string(),
  task_version: Digest,
  framework: z.string().nullable(),
  verifiers: z.array(z.object({ id: z.string(), role: z.enum(["train", "shadow", "sealed"]) })),
  /** A {@link SubmissionInput}, or the blob of a submission that an episode made. */
  submission: z.union([z.object({ stored: Digest }), z.unknown()]),
});
export type VerifyRequestBlob = z.infer<typeof VerifyRequestBlob>;

/** One job = one episode × its verifiers, or a stateless `POST /v1/verify`. */
export const VerifyJob = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("episode"), episode_id: EpisodeId, term: z.int().min(1) }),
  z.object({
    kind: z.literal("submission"),
    /** Key of the answer on the asking server's reply stream. */
    correlation: z.string(),
    server: z.string(),
    /** Itself while it is small; else the blob with it. */
    request: z.union([Digest, VerifyRequestBlob]),
  }),
]);
export type VerifyJob = z.infer<typeof VerifyJob>;

/** An upload is stored as a blob first; the job names it. */
export const ImportJob = z.object({ job_id: JobId, format: z.string(), upload: Digest, source: z.string().nullable() });
export type ImportJob = z.infer<typeof ImportJob>;

export const ValidationJob = z.object({
  job_id: JobId,
  tasks: z.array(z.string()),
  frameworks: z.array(z.string()),
  verifiers: z.array(z.string()).nullable(),
});
export type ValidationJob = z.infer<typeof ValidationJob>;

/** Work on the images of one machine. `store` says which: workers of others leave it. */
export const BuildJob = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("build"),
    job_id: JobId,
    store: z.string(),
    image: z.string(),
    /** Whose Dockerfile it is; null for one of our own. */
    task: z.object({ id: TaskId, version: Digest }).nullable(),
    rebuild: z.boolean(),
  }),
  z.object({
    kind: z.literal("collect"),
    job_id: JobId,
    store: z.string(),
    /** Null: what the watermarks say. */
    keep_bytes: z.int().min(0).nullable(),
  }),
]);
export type BuildJob = z.infer<typeof BuildJob>;
