import type { EpisodeRecord } from "../../core/episode.ts";
import { ProblemError } from "../../core/errors.ts";
import type { EpisodeJob } from "../../core/jobs.ts";
import { episodeJobId, PostponeError } from "../../platform/queues.ts";
import type { WorkerDeps } from "../deps.ts";
import { sayWaiting } from "./ending.ts";
import type { LiveEpisodes } from "./live.ts";

/** Who waits for its token's share is woken by whoever leaves a place; this is for words that were lost. */
const LOOK_MS = 10_000;
/** Idle for so long, an episode gives its place to another of its token. */
const PARK_FOR_SHARE_MS = 100;

/**
 * The grant of a term within the share of the episode's token (`live_per_token`). Over it the job gives its turn to others, and
 * the record says `quota`. Null: the job is obsolete.
 */
export async function grantWithinShare(deps: WorkerDeps, job: EpisodeJob): Promise<EpisodeRecord | null> {
  const { store, workerId, livePerToken } = deps;
  try {
    return await store.grantTerm(job.episode_id, workerId, job.term - 1, livePerToken ?? undefined);
  } catch (error) {
    if (!(error instanceof ProblemError && error.code === "quota")) throw error;
    const record = await store.episode(job.episode_id);
    if (record !== null) await sayWaiting(deps, record, "quota");
    throw new PostponeError(error.message, LOOK_MS);
  }
}

/** One of this token has left its place: who waits longest for it is next. */
export async function wakeNext({ store, queues, livePerToken, log }: WorkerDeps, owner: string): Promise<void> {
  if (livePerToken === null) return;
  try {
    const [next] = await store.overQuota(owner, 1);
    if (next !== undefined)
      await queues.wake("episode", episodeJobId({ episode_id: next.episode_id, term: next.term + 1 }));
  } catch (error) {
    log.warn({ err: error, owner }, "nobody woken: who waits looks again by itself");
  }
}

/** While episodes of a token wait for its share, parks as many of its idle ones. */
export async function makeRoomInShares({ store, livePerToken }: WorkerDeps, live: LiveEpisodes): Promise<void> {
  if (livePerToken === null || live.size === 0) return;
  const waiting = Map.groupBy(await store.overQuota(), (record) => record.owner);
  for (const [owner, records] of waiting) await live.parkIdle(PARK_FOR_SHARE_MS, records.length, owner);
}
