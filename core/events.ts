import * as z from "zod";
import { EpisodeEnvironment, EpisodeLimits, MismatchPolicy, Outcome, RewardStatus, StopReason } from "./episode.ts";
import { Digest, EpisodeId } from "./ids.ts";
import { Json } from "./json.ts";
import { Action, Observation, StepTokens } from "./messages.ts";
import { ManifestEntrySchema } from "./submission.ts";
import { Verdict } from "./verifier.ts";

export const REPLAY_DIFFERENCES = ["answers", "workspace"] as const;
export type ReplayDifference = (typeof REPLAY_DIFFERENCES)[number];

/** What another owner needs to go on. */
const savedState = {
  snapshot: Digest.describe(
    "blob of everything that differs from the base, as a submission of root /; there while it is the episode's last, or others go on from it",
  ),
  workspace: Digest.nullable().default(null).describe("of what differs from the base in the workspace"),
  framework_state: Json,
};

/** What happened in an episode (runtime.md §3). Append-only and gap-free in `n`; everything else is a fold over them. */
const body = {
  "episode.created": z.object({ environment: EpisodeEnvironment, limits: EpisodeLimits, seed: z.int() }),
  "term.granted": z.object({ worker: z.string(), from_n: z.int() }),
  "sandbox.opened": z.object({ image: z.string(), image_digest: Digest, tier: z.string(), boot_ms: z.number() }),
  "framework.opened": z.object({ observation: Observation }),
  "step.accepted": z.object({
    conversation: z.string(),
    seq: z.int(),
    action: Action,
    body_digest: Digest.describe("of conversation, seq and action: the same step sent again has the same"),
    tokens: StepTokens.optional(),
  }),
  "tool.ran": z.object({
    conversation: z.string(),
    seq: z.int(),
    tool: z.string(),
    exit_code: z.int().nullable(),
    timed_out: z.boolean(),
    duration_ms: z.number(),
    output_bytes: z.int(),
  }),
  "step.observed": z.object({
    conversation: z.string(),
    seq: z.int(),
    observations: z.array(Observation),
    tool_ms: z.number(),
    own_ms: z.number(),
    steps: z.int().describe("steps of all conversations so far, this one counted"),
    wall_used_ms: z.number().describe("booting and running so far"),
    stop_reason: StopReason.nullable().describe("set on the step that ends the episode"),
    workspace_view: Digest.nullable()
      .default(null)
      .describe("of the workspace's files after the step; null where it is too large to be read at every step"),
  }),
  "network.tried": z.object({
    host: z.string().describe("as the program wrote it"),
    port: z.int(),
    address: z.string().nullable(),
    outcome: z.enum(["connected", "denied", "failed"]),
    reason: z.string(),
  }),
  "context.compacted": z.object({ conversation: z.string(), messages_dropped: z.int() }),
  "episode.saved": z.object({
    ...savedState,
    seq: z.int().describe("the last step that is in it"),
  }),
  "episode.parked": z.object({
    ...savedState,
    steps: z.int(),
    wall_used_ms: z.number(),
    processes_lost: z.int().nullable().describe("programs that ran and were not carried over; null: not known"),
    commands_lost: z.array(z.string()).default([]).describe("names of at most 16 of them: untrusted text"),
  }),
  "episode.recovered": z.object({
    from: z.enum(["base", "snapshot"]),
    replayed_steps: z.int(),
    replay_mismatch: z.boolean().describe("it did not come out the same; `differs` says in what"),
    differs: z
      .array(z.enum(REPLAY_DIFFERENCES))
      .default([])
      .describe("answers: a replayed step said something else, digits aside; workspace: the files are others"),
    workspace_compared: z.boolean().default(false).describe("false: too large, or not known what it was"),
    policy: MismatchPolicy.default("continue"),
  }),
  "submission.frozen": z.object({
    submission: Digest,
    manifest: z.array(ManifestEntrySchema),
    refused: z.array(z.object({ path: z.string(), reason: z.string() })),
    stop_reason: StopReason,
  }),
  "verdict.recorded": z.object({ verdict: Verdict }),
  "reward.committed": z.object({ reward: z.number().nullable(), reward_status: RewardStatus, trainable: z.boolean() }),
  "episode.ended": z.object({
    stop_reason: StopReason,
    outcome: Outcome,
    failure: z.object({ code: z.string(), stage: z.string(), message: z.string() }).nullable(),
  }),
} as const;

export const EVENT_TYPES = Object.keys(body) as (keyof typeof body)[]; // keys of a literal table
export type EventType = keyof typeof body;

const head = {
  v: z.literal(1),
  episode_id: EpisodeId,
  n: z.int().min(0),
  term: z.int().min(0),
  at: z.int().describe("epoch ms"),
};

type EventOf<T extends EventType> = z.infer<(typeof body)[T]> & {
  v: 1;
  episode_id: EpisodeId;
  n: number;
  term: number;
  at: number;
  type: T;
};
export type EpisodeEvent = { [T in EventType]: EventOf<T> }[EventType];
/** An event before the store's writer has numbered it. */
export type EventBody = { [T in EventType]: { type: T } & z.infer<(typeof body)[T]> }[EventType];

const options = EVENT_TYPES.map((type) => z.object({ ...head, type: z.literal(type), ...body[type].shape }));
/** Parses one event as read from disk or the wire. */
export const EpisodeEvent = z.discriminatedUnion(
  "type",
  options as [(typeof options)[number], ...(typeof options)[number][]],
) as unknown as z.ZodType<EpisodeEvent>; // the mapped union is built above

/** What the fence looks at: an event, or its line in an index. `from_n` only on `term.granted`. */
export interface Fenced {
  readonly n: number;
  readonly term: number;
  readonly from_n?: number;
}

/**
 * Drops what a fenced-off owner wrote: an event of an older term at or beyond the `from_n` of a newer one, and repeated
 * numbers. The result is gap-free.
 */
export function foldTerms<E extends Fenced>(events: readonly E[]): E[] {
  const cuts = events.flatMap((e) => (e.from_n === undefined ? [] : [{ term: e.term, from: e.from_n }]));
  const live = events.filter((e) => !cuts.some((cut) => cut.term > e.term && e.n >= cut.from));
  const byN = new Map<number, E>();
  for (const event of live) if (!byN.has(event.n)) byN.set(event.n, event);
  return [...byN.values()].sort((a, b) => a.n - b.n);
}
