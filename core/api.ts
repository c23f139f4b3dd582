import * as z from "zod";
import {
  EpisodeLimits,
  EpisodeState,
  MismatchPolicy,
  Outcome,
  PendingReason,
  PolicyLabel,
  RewardStatus,
  StopReason,
} from "./episode.ts";
import { Digest, EpisodeId, GroupId, RunLabel, TaskId } from "./ids.ts";
import { JsonObject } from "./json.ts";
import { Action, FINISH_REASONS, Observation, StepTokens } from "./messages.ts";
import { ScriptName } from "./policy.ts";
import { Split } from "./task.ts";
import { VerdictView } from "./verifier.ts";

/** Bodies of the wire contract (api.md). `/openapi.json` is generated from them. */

/** The one answer for an episode: create, step, finish, poll, attach and their WebSocket twins. */
export const EpisodeAnswer = z.object({
  episode_id: EpisodeId,
  run: RunLabel.nullable(),
  state: EpisodeState,
  pending_reason: PendingReason.nullable(),
  answers: z.object({ conversation: z.string(), seq: z.int() }).nullable(),
  observations: z.array(Observation),
  terminated: z.boolean(),
  truncated: z.boolean(),
  stop_reason: StopReason.nullable(),
  outcome: Outcome.nullable(),
  reward: z.number().nullable(),
  reward_status: RewardStatus,
  trainable: z.boolean().nullable(),
  verdicts: z.array(VerdictView),
  flags: z.array(z.string()),
  environment: z.object({
    task_id: TaskId,
    framework: z.string(),
    framework_profile: Digest,
    verifiers: z.array(z.string()),
    split: Split,
  }),
  limits: EpisodeLimits,
  remaining: z.object({ steps: z.int(), wall_s: z.number() }),
  expires_at: z.int(),
  timing: z.object({
    queued_ms: z.number().nullable(),
    boot_ms: z.number().nullable(),
    tool_ms: z.number().nullable(),
    own_ms: z.number().nullable(),
  }),
});
export type EpisodeAnswer = z.infer<typeof EpisodeAnswer>;

const labels = z
  .record(z.string().min(1).max(64), z.string().max(256))
  .refine((l) => Object.keys(l).length <= 32, "at most 32 labels");

const episodeFields = {
  episode_id: EpisodeId.optional().describe("made by the client: the same body joins, another body is 409"),
  task_id: TaskId,
  framework: z.string(),
  framework_config: JsonObject.optional(),
  verifiers: z.array(z.string()).min(1).max(32).optional().describe("train role [the task's list]"),
  seed: z.int().nonnegative().optional(),
  run: RunLabel.refine((label) => !/\p{Cc}/u.test(label), "no control characters").optional(),
  labels: labels.optional(),
  group: z.strictObject({ id: GroupId, index: z.int().nonnegative() }).optional(),
  limits: EpisodeLimits.partial().strict().optional(),
  idle_timeout_s: z
    .number()
    .positive()
    .max(30 * 86_400)
    .optional()
    .describe("[86400]"),
  wait_capacity_s: z.number().nonnegative().max(86_400).optional().describe("[3600]"),
  on_replay_mismatch: MismatchPolicy.optional().describe(
    "when a worker is lost and the replayed steps or files differ: continue, or mask (trainable false) [continue]",
  ),
};

export const CreateEpisode = z.strictObject({ ...episodeFields, policy: PolicyLabel.strict().optional() });
export type CreateEpisode = z.infer<typeof CreateEpisode>;

export const CreateRollout = z.strictObject({
  ...episodeFields,
  policy: z.strictObject({
    script: ScriptName,
    variant: z.string().optional().describe("which cheat [the first]"),
  }),
});
export type CreateRollout = z.infer<typeof CreateRollout>;

export const StepBody = z.strictObject({
  conversation: z.string().min(1).max(128).default("main"),
  seq: z.int().min(1),
  action: Action,
  tokens: StepTokens.optional(),
});
export type StepBody = z.infer<typeof StepBody>;

export const FinishBody = z.strictObject({
  conversation: z.string().min(1).max(128).default("main"),
  seq: z.int().min(1),
  reason: z.enum(FINISH_REASONS).default("submitted"),
});
export type FinishBody = z.infer<typeof FinishBody>;

const filePath = z.string().min(1).max(4096);
/** One of four forms; see POST /v1/verify. */
export const SubmissionInput = z.union([
  z.strictObject({ patch: z.string() }),
  z.strictObject({
    files: z.record(filePath, z.union([z.string(), z.strictObject({ base64: z.base64() }), z.null()])),
  }),
  z.strictObject({ archive: z.base64() }),
  z.strictObject({ text: z.string() }),
]);
export type SubmissionInput = z.infer<typeof SubmissionInput>;

export const VerifyBody = z.strictObject({
  task_id: TaskId,
  submission: SubmissionInput,
  framework: z.string().optional().describe("needed by `text`: it extracts the code"),
  verifiers: z.array(z.string()).min(1).max(32).optional(),
});
export type VerifyBody = z.infer<typeof VerifyBody>;

export const VerifyAnswer = z.object({
  reward: z.number().nullable(),
  reward_status: RewardStatus,
  outcome: Outcome,
  trainable: z.boolean(),
  verdicts: z.array(VerdictView),
  flags: z.array(z.string()),
});
export type VerifyAnswer = z.infer<typeof VerifyAnswer>;

export const ValidationBody = z.strictObject({
  tasks: z.array(z.string()).min(1).describe("ids or globs, e.g. humaneval/*"),
  frameworks: z.array(z.string()).optional().describe("[all]"),
  verifiers: z.array(z.string()).optional().describe("[all that apply]"),
});
export type ValidationBody = z.infer<typeof ValidationBody>;

/** Why an episode or a queue is not further: `GET /v1/episodes/{id}/why`, `GET /v1/queues/{queue}/why`. */
export const WhyAnswer = z.object({
  state: z.string().describe("of the episode; of a queue: idle, moving, waiting or paused"),
  pending_reason: PendingReason.nullable(),
  since: z.int().nullable().describe("epoch ms: since when it is so; null when that is not known"),
  worker: z.string().nullable().describe("the process that has it"),
  what: z.string().describe("what is going on, in a sentence"),
  hint: z.string().describe("what to do"),
});
export type WhyAnswer = z.infer<typeof WhyAnswer>;

/** Longest body that is not a streamed import, bytes. */
export const MAX_BODY_BYTES = 8 * 1024 * 1024;
/** Longest wait of one call, seconds. */
export const DEFAULT_WAIT_S = 300;
/** Longest WebSocket frame of ours; larger values come by reference. */
export const MAX_FRAME_BYTES = 1024 * 1024;
