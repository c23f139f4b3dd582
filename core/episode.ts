import * as z from "zod";
import { Digest, EpisodeId, RunLabel, TaskId } from "./ids.ts";
import { JsonObject } from "./json.ts";
import { ScriptName } from "./policy.ts";
import { Split, VerdictRole } from "./task.ts";

/**
 * queued → booting → ready ⇄ running → verifying → done, and parked from ready (back through booting). From any state to
 * done by cancel, failure or idle time (runtime.md §1).
 */
export const EPISODE_STATES = ["queued", "booting", "ready", "running", "parked", "verifying", "done"] as const;
export const EpisodeState = z.enum(EPISODE_STATES);
export type EpisodeState = z.infer<typeof EpisodeState>;

export const PENDING_REASONS = [
  "no_worker",
  "no_capacity",
  "image_building",
  "quota",
  "paused",
  "draining",
  "recovering",
] as const;
export const PendingReason = z.enum(PENDING_REASONS);
export type PendingReason = z.infer<typeof PendingReason>;

export const OUTCOMES = [
  "ok",
  "truncated",
  "agent_error",
  "policy_error",
  "infra_error",
  "verifier_error",
  "cancelled",
] as const;
export const Outcome = z.enum(OUTCOMES);
export type Outcome = z.infer<typeof Outcome>;

/** The pinned table from stop reason to outcome. */
export const OUTCOME_OF = {
  submitted: "ok",
  text_end: "ok",
  step_limit: "truncated",
  token_limit: "truncated",
  cost_limit: "truncated",
  wall_limit: "truncated",
  output_limit: "truncated",
  context_overflow: "truncated",
  format_abort: "agent_error",
  loop_abort: "agent_error",
  forfeited: "agent_error",
  sandbox_killed: "agent_error",
  model_unreachable: "policy_error",
  sandbox_lost: "infra_error",
  capacity: "infra_error",
  verifier_failed: "verifier_error",
  cancelled: "cancelled",
  abandoned: "cancelled",
  idle_timeout: "cancelled",
} as const satisfies Record<string, Outcome>;
export type StopReason = keyof typeof OUTCOME_OF;
const stopReasons = Object.keys(OUTCOME_OF) as [StopReason, ...StopReason[]]; // keys of a literal table
export const StopReason = z.enum(stopReasons);

/** These end with a reward; the rest with null and trainable false. */
export const JUDGED_OUTCOMES: ReadonlySet<Outcome> = new Set<Outcome>(["ok", "truncated", "agent_error"]);

export const isTerminated = (reason: StopReason): boolean =>
  OUTCOME_OF[reason] === "ok" || OUTCOME_OF[reason] === "agent_error";
export const isTruncated = (reason: StopReason): boolean => OUTCOME_OF[reason] === "truncated";

export const REWARD_STATUSES = ["not_due", "pending", "final", "unavailable"] as const;
export const RewardStatus = z.enum(REWARD_STATUSES);
export type RewardStatus = z.infer<typeof RewardStatus>;

/** Flag of an episode whose recovery did not come out the same. */
export const REPLAY_MISMATCH = "replay_mismatch";
/** What a recovery that did not come out the same means for an episode; it is flagged `replay_mismatch` either way. */
export const MISMATCH_POLICIES = ["continue", "mask"] as const;
export const MismatchPolicy = z
  .enum(MISMATCH_POLICIES)
  .describe("when a replayed step or its files differ: continue keeps the episode trainable, mask does not");

/** Bounds of an episode; each is enforced and ends it with its own stop reason. */
export const EpisodeLimits = z.object({
  steps: z.int().min(1).max(10_000).describe("steps of all conversations [50]"),
  wall_s: z
    .number()
    .positive()
    .max(86_400)
    .describe("booting and running together; waiting for the policy is free [1800]"),
  tool_s: z
    .number()
    .positive()
    .max(3600)
    .describe("one command; what the machine withholds of it does not count [120]"),
  observation_chars: z.int().min(200).max(1_000_000).describe("text of each message [16000]"),
  output_bytes: z.int().min(1024).max(1_073_741_824).describe("all tool output of the episode [64 MiB]"),
});
export type EpisodeLimits = z.infer<typeof EpisodeLimits>;
export const DEFAULT_EPISODE_LIMITS: EpisodeLimits = {
  steps: 50,
  wall_s: 1800,
  tool_s: 120,
  observation_chars: 16_000,
  output_bytes: 64 * 1024 * 1024,
};

/** What an episode runs in, resolved and pinned at creation. */
export const EpisodeEnvironment = z.object({
  task_id: TaskId,
  task_version: Digest,
  framework: z.string(),
  framework_version: z.string(),
  framework_profile: Digest.describe("of id, version and resolved config"),
  framework_config: JsonObject,
  verifiers: z.array(z.object({ id: z.string(), version: z.string(), role: VerdictRole })),
  split: Split.describe("the strictest of its sides"),
});
export type EpisodeEnvironment = z.infer<typeof EpisodeEnvironment>;

export const PolicyLabel = z.object({
  name: z.string().max(128),
  version: z.string().max(128).optional(),
  step: z.int().optional(),
});

/** The store's record of an episode: the truth that queues are rebuilt from. */
export const EpisodeRecord = z.object({
  episode_id: EpisodeId,
  /** Id of the token that made it. */
  owner: z.string(),
  run: RunLabel.nullable(),
  labels: z.record(z.string().max(64), z.string().max(256)),
  group: z.object({ id: z.string(), index: z.int() }).nullable(),
  policy: PolicyLabel.nullable(),
  environment: EpisodeEnvironment,
  limits: EpisodeLimits,
  seed: z.int(),
  /** Set when the gym drives it with a script; null when steps come from outside. */
  script: z.object({ name: ScriptName, variant: z.string() }).nullable(),
  idle_timeout_s: z.number().positive(),
  wait_capacity_s: z.number().nonnegative(),
  on_replay_mismatch: MismatchPolicy.default("continue"),
  state: EpisodeState,
  pending_reason: PendingReason.nullable(),
  /** Highest granted term; 0 before the first owner. */
  term: z.int().min(0),
  /** Process id of the owner; null when there is none. */
  worker: z.string().nullable(),
  /** Terms lost in a row without a hand-over. */
  lost_terms: z.int().min(0),
  stop_reason: StopReason.nullable(),
  /** Why an infrastructure failure came about, for operators. */
  failure: z.object({ code: z.string(), stage: z.string(), message: z.string() }).nullable(),
  outcome: Outcome.nullable(),
  reward: z.number().nullable(),
  reward_status: RewardStatus,
  trainable: z.boolean().nullable(),
  flags: z.array(z.string()),
  /** Blob of the submission's tar and manifest, once frozen. */
  submission: Digest.nullable(),
  steps: z.int().min(0),
  created_at: z.int(),
  updated_at: z.int(),
  ended_at: z.int().nullable(),
  /** Wall time used so far: booting and running. */
  wall_used_ms: z.number(),
  timing: z.object({ queued_ms: z.number().nullable(), boot_ms: z.number().nullable() }),
});
export type EpisodeRecord = z.infer<typeof EpisodeRecord>;

/** The environment's strictest side decides: sealed over dev over train. */
export function strictestSplit(splits: readonly Split[]): Split {
  if (splits.includes("sealed")) return "sealed";
  return splits.includes("dev") ? "dev" : "train";
}
