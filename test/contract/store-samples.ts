import { DEFAULT_EPISODE_LIMITS, type EpisodeRecord } from "../../core/episode.ts";
import type { EpisodeEvent, EventBody } from "../../core/events.ts";
import { type EpisodeId, newEpisodeId, newJobId, sha256 } from "../../core/ids.ts";
import type { BackgroundJob, TokenRecord } from "../../core/records.ts";
import type { Verdict } from "../../core/verifier.ts";

/** Values that tests of the store and of what stands on it begin with. */

export function sampleRecord(over: Partial<EpisodeRecord> = {}): EpisodeRecord {
  return {
    episode_id: newEpisodeId(),
    owner: "tok_owner",
    run: null,
    labels: {},
    group: null,
    policy: null,
    environment: {
      task_id: "demo/bank",
      task_version: sha256("task"),
      framework: "vendor.frame",
      framework_version: "1",
      framework_profile: sha256("profile"),
      framework_config: {},
      verifiers: [{ id: "tests", version: "1", role: "train" }],
      split: "train",
    },
    limits: DEFAULT_EPISODE_LIMITS,
    seed: 7,
    script: null,
    idle_timeout_s: 86_400,
    wait_capacity_s: 3_600,
    on_replay_mismatch: "continue",
    state: "queued",
    pending_reason: null,
    term: 0,
    worker: null,
    lost_terms: 0,
    stop_reason: null,
    failure: null,
    outcome: null,
    reward: null,
    reward_status: "not_due",
    trainable: null,
    flags: [],
    submission: null,
    steps: 0,
    created_at: 1_000,
    updated_at: 1_000,
    ended_at: null,
    wall_used_ms: 0,
    timing: { queued_ms: null, boot_ms: null },
    ...over,
  };
}

export const SAMPLE_BODY = sha256("body");

/** The patch with which an episode ends well. */
export const DONE = {
  state: "done",
  stop_reason: "submitted",
  outcome: "ok",
  reward: 1,
  reward_status: "final",
  trainable: true,
  ended_at: 2_000,
} as const;

export interface EventHead {
  readonly id: EpisodeId;
  readonly n: number;
  readonly term?: number;
}

export function eventOf({ id, n, term = 0 }: EventHead, body: EventBody): EpisodeEvent {
  return { v: 1, episode_id: id, n, term, at: 1_000 + n, ...body };
}

/** An event that carries some text. */
export function note(head: EventHead, text = "main"): EpisodeEvent {
  return eventOf(head, { type: "context.compacted", conversation: text, messages_dropped: 1 });
}

export function granted(head: EventHead, worker = "worker_a"): EpisodeEvent {
  return eventOf(head, { type: "term.granted", worker, from_n: head.n });
}

export function sampleVerdict(over: Partial<Verdict> = {}): Verdict {
  return {
    verifier: "tests",
    version: "1",
    role: "train",
    attempt: 1,
    status: "scored",
    score: 1,
    checks: [],
    flags: [],
    detail: {},
    seed: 3,
    submission: null,
    base: "base",
    duration_ms: 12,
    ...over,
  };
}

export function sampleToken(over: Partial<TokenRecord> = {}): TokenRecord {
  return {
    id: "tok_1",
    hash: sha256("secret"),
    roles: ["trainer"],
    name: null,
    created_at: 1,
    revoked_at: null,
    ...over,
  };
}

export function sampleJob(over: Partial<BackgroundJob> = {}): BackgroundJob {
  return {
    job_id: newJobId(),
    kind: "import",
    owner: "tok_owner",
    state: "queued",
    done: 0,
    total: null,
    report: {},
    error: null,
    created_at: 1,
    updated_at: 1,
    ...over,
  };
}
