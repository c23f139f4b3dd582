import { DEFAULT_EPISODE_LIMITS, type EpisodeEnvironment, type EpisodeLimits, type EpisodeRecord } from "./episode.ts";
import type { EpisodeEvent } from "./events.ts";
import { deriveSeed, type EpisodeId } from "./ids.ts";

/** What a creator decides; the rest of a fresh record follows. */
export interface NewEpisode {
  readonly episodeId: EpisodeId;
  /** Id of the token that makes it. */
  readonly owner: string;
  readonly environment: EpisodeEnvironment;
  readonly run?: string | null | undefined;
  readonly labels?: Record<string, string> | undefined;
  readonly group?: EpisodeRecord["group"] | undefined;
  readonly policy?: EpisodeRecord["policy"] | undefined;
  readonly limits?: { [K in keyof EpisodeLimits]?: EpisodeLimits[K] | undefined } | undefined;
  /** (Default: the task's own, else 1800 s) */
  readonly taskWallS?: number | undefined;
  readonly seed?: number | undefined;
  readonly script?: EpisodeRecord["script"] | undefined;
  /** (Default: 86,400) */
  readonly idleTimeoutS?: number | undefined;
  /** (Default: 3,600) */
  readonly waitCapacityS?: number | undefined;
  /** (Default: continue) */
  readonly onReplayMismatch?: EpisodeRecord["on_replay_mismatch"] | undefined;
  /** The installation's secret: a seed that was not given is derived from it. */
  readonly secret: string;
  readonly now: number;
}

/** A queued record, as every episode begins. */
export function newEpisodeRecord(input: NewEpisode): EpisodeRecord {
  const { environment, now } = input;
  const given = Object.fromEntries(Object.entries(input.limits ?? {}).filter(([, value]) => value !== undefined));
  return {
    episode_id: input.episodeId,
    owner: input.owner,
    run: input.run ?? null,
    labels: input.labels ?? {},
    group: input.group ?? null,
    policy: input.policy ?? null,
    environment,
    limits: {
      ...DEFAULT_EPISODE_LIMITS,
      ...(input.taskWallS === undefined ? {} : { wall_s: input.taskWallS }),
      ...given,
    },
    seed:
      input.seed ??
      deriveSeed(input.secret, [input.run ?? null, environment.task_id, environment.framework, input.episodeId]),
    script: input.script ?? null,
    idle_timeout_s: input.idleTimeoutS ?? 86_400,
    wait_capacity_s: input.waitCapacityS ?? 3600,
    on_replay_mismatch: input.onReplayMismatch ?? "continue",
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
    created_at: now,
    updated_at: now,
    ended_at: null,
    wall_used_ms: 0,
    timing: { queued_ms: null, boot_ms: null },
  };
}

/** The first event of every trajectory, written before there is an owner (term 0). */
export function createdEvent(record: EpisodeRecord): EpisodeEvent {
  const { environment, limits, seed } = record;
  return {
    v: 1,
    episode_id: record.episode_id,
    n: 0,
    term: 0,
    at: record.created_at,
    type: "episode.created",
    environment,
    limits,
    seed,
  };
}
