import * as z from "zod";
import { EpisodeState, StopReason } from "./episode.ts";
import { EpisodeId } from "./ids.ts";
import { ImagePresence } from "./images.ts";
import { Json } from "./json.ts";
import { Action, Observation, StepTokens } from "./messages.ts";

/**
 * Mailboxes (runtime.md §4): one Redis stream per worker, `mail:{worker}`, and one per server, `reply:{server}`. Entries
 * are hints about what the store holds; a lost one costs time, never a step.
 */

const address = { episode_id: EpisodeId, term: z.int().min(1), server: z.string(), correlation: z.string() };

/** To the worker that owns the episode. */
export const WorkerMail = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("step"),
    ...address,
    conversation: z.string(),
    seq: z.int().min(1),
    action: Action,
    tokens: StepTokens.optional(),
  }),
  z.object({ type: z.literal("cancel"), ...address }),
  z.object({ type: z.literal("park"), ...address }),
  /** To the process itself: `draining` takes nothing new and parks what is idle, `running` takes jobs again. */
  z.object({ type: z.literal("intake"), state: z.enum(["running", "draining"]) }),
]);
export type WorkerMail = z.infer<typeof WorkerMail>;
/** Letters about one episode. */
export type EpisodeMail = Exclude<WorkerMail, { type: "intake" }>;

/** Why a worker did not take a step. */
export const StepRefusal = z.object({
  code: z.enum(["conflict", "seq_mismatch", "finished", "invalid_request", "stale"]),
  detail: z.string(),
  expected_seq: z.int().optional(),
});
export type StepRefusal = z.infer<typeof StepRefusal>;

/** What a step did: the same as its durable `step.observed`, beside the state the episode is in after it. */
export const StepObserved = z.object({
  conversation: z.string(),
  seq: z.int(),
  observations: z.array(Observation),
  tool_ms: z.number(),
  own_ms: z.number(),
  steps: z.int(),
  wall_used_ms: z.number(),
  stop_reason: StopReason.nullable().describe("set on the step that ends the episode"),
  state: EpisodeState,
});
export type StepObserved = z.infer<typeof StepObserved>;

/** To servers. `reply` goes to the one that asked; `notice` goes to all of them. */
export const ServerMail = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("reply"),
    correlation: z.string(),
    episode_id: EpisodeId,
    /** The observations are durable; the server may read them from the store instead. */
    result: z.union([z.object({ observed: StepObserved }), z.object({ refused: StepRefusal })]),
  }),
  z.object({
    type: z.literal("notice"),
    episode_id: EpisodeId,
    event: z.enum(["state", "observation", "progress", "done"]),
    state: EpisodeState,
    worker: z.string().nullable(),
    term: z.int(),
    /** Number of the last durable event it speaks of. */
    cursor: z.int(),
    /** progress: `{conversation, stream, text}`; observation: the observation. */
    data: z.unknown(),
  }),
  z.object({ type: z.literal("verified"), correlation: z.string(), answer: Json }),
  z.object({ type: z.literal("job"), job_id: z.string() }),
]);
export type ServerMail = z.infer<typeof ServerMail>;

/** What a process says of itself every few seconds; it expires when it does not. */
export const Presence = z.object({
  id: z.string(),
  kind: z.enum(["server", "worker"]),
  pid: z.int(),
  host: z.string(),
  version: z.string(),
  started_at: z.int(),
  seen_at: z.int(),
  state: z.enum(["running", "draining"]),
  /** Worker: live episodes and how many it takes. */
  live: z.int(),
  capacity: z.int(),
  jobs: z.int().default(0).describe("worker: jobs of any queue under way, one for each live episode"),
  sandboxes: z.int().describe("in use; what waits ready for later is not counted"),
  snapshots: z.int(),
  /** What frozen states hold, of what they may hold. */
  snapshot_bytes: z.int().default(0),
  tier: z.string().nullable(),
  /** Worker: what the image `host` offers here; a task that needs more is unavailable. */
  runtimes: z.array(z.string()),
  /** Worker: what it can build. */
  images: ImagePresence.optional(),
  rss_bytes: z.int(),
  loop_p99_ms: z.number(),
});
export type Presence = z.infer<typeof Presence>;
