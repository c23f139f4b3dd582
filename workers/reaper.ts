import type { EpisodeRecord } from "../core/episode.ts";
import { GymError } from "../core/errors.ts";
import type { EpisodeId } from "../core/ids.ts";
import { steadyNow } from "../platform/clock.ts";
import { knownDead, presences } from "../platform/presence.ts";
import type { Redis } from "../platform/redis.ts";
import type { WorkerDeps } from "./deps.ts";
import { backToQueue, endUnjudged } from "./episode/ending.ts";
import { Journal } from "./episode/journal.ts";

/** Terms lost in a row without a hand-over before an episode is quarantined (runtime.md §2). */
const MAX_LOST_TERMS = 3;
/** A queued or verifying episode this old without a job gets a new one: who would have added it died, or Redis was away. */
const ORPHAN_AFTER_MS = 2_000;

/** A worker that has not been heard of for this long is lost; one that its supervisor saw die is lost at once. */
const SILENT_MS = 4_000;

export interface ReaperView {
  readonly census: WorkerCensus;
  /** True when this process works on the episode. */
  owns(id: EpisodeId): boolean;
}

/**
 * Which workers live. An empty Redis forgets everybody for a moment: who was heard of a little while ago and is not known
 * to be dead still counts. After a time without news (Redis was away, or took nothing) everybody has as long again to be heard.
 */
export class WorkerCensus {
  readonly #self: string;
  readonly #redis: Redis;
  readonly #seenAt = new Map<string, number>();
  #takenAt = 0;

  constructor(redis: Redis, self: string) {
    this.#redis = redis;
    this.#self = self;
  }

  async take(now = steadyNow()): Promise<void> {
    this.#seenAt.set(this.#self, now);
    const heard = (await presences(this.#redis, "worker")).map(({ id }) => id);
    const blind = now - this.#takenAt > SILENT_MS || !heard.includes(this.#self);
    for (const id of blind ? [...heard, ...this.#seenAt.keys()] : heard) this.#seenAt.set(id, now);
    this.#takenAt = now;
    for (const id of await knownDead(this.#redis, [...this.#seenAt.keys()])) this.#seenAt.delete(id);
    for (const [id, at] of this.#seenAt) if (now - at > SILENT_MS) this.#seenAt.delete(id);
  }

  /** True in one of the live workers: the one that started first. */
  leads(): boolean {
    return [...this.#seenAt.keys()].every((id) => this.#self <= id);
  }

  lives(worker: string | null): boolean {
    return worker !== null && this.#seenAt.has(worker);
  }
}

/**
 * Ends or re-queues every unfinished episode that nobody works on. Runs in each worker; two that see the same episode do
 * it once, by compare-and-set. Answers how many it changed.
 */
export async function reapEpisodes(deps: WorkerDeps, view: ReaperView): Promise<number> {
  await view.census.take();
  // A worker that lives may have given an episode up, when its job was lost; only it knows.
  const isLost = (record: EpisodeRecord) =>
    record.worker === deps.workerId
      ? !view.owns(record.episode_id) && steadyNow() - record.updated_at > SILENT_MS
      : !view.census.lives(record.worker);
  const { store } = deps;
  const rounds: [
    () => Promise<EpisodeRecord[]>,
    (record: EpisodeRecord) => boolean,
    (deps: WorkerDeps, record: EpisodeRecord) => Promise<boolean>,
  ][] = [
    [() => store.unfinished(["booting", "ready", "running"], 0), isLost, takeFromLostOwner],
    [() => store.unfinished(["queued"], ORPHAN_AFTER_MS), () => true, wakeQueued],
    [() => store.unfinished(["parked"], ORPHAN_AFTER_MS, { scripted: true }), () => true, wakeQueued],
    [() => store.unfinished(["verifying"], ORPHAN_AFTER_MS), isLost, wakeVerifying],
    [() => store.abandoned(), () => true, endIdle],
  ];
  let changed = 0;
  for (const [find, concerns, work] of rounds)
    for (const record of await find()) if (concerns(record) && (await work(deps, record))) changed++;
  return changed;
}

/** Another worker goes on with it under a new term; after three lost in a row it is quarantined. */
async function takeFromLostOwner(deps: WorkerDeps, record: EpisodeRecord): Promise<boolean> {
  const lost = record.lost_terms + 1;
  if (lost >= MAX_LOST_TERMS) {
    const message = `${lost} owners in a row died with it, the last was ${record.worker ?? "unknown"} in term ${record.term}`;
    return endLost(deps, record, { code: "sandbox_lost", stage: "step", message });
  }
  if (!(await backToQueue(deps, record, { lostTerms: lost }))) return false;
  deps.log.warn({ episodeId: record.episode_id, term: record.term, lost }, "owner lost, episode goes on elsewhere");
  return true;
}

async function endIdle(deps: WorkerDeps, record: EpisodeRecord): Promise<boolean> {
  const { journal } = await Journal.resume(deps.store, record.episode_id, record.term);
  return tolerateStale(() => endUnjudged({ deps, record, journal }, "idle_timeout", null));
}

async function endLost(
  deps: WorkerDeps,
  record: EpisodeRecord,
  failure: { code: string; stage: string; message: string },
): Promise<boolean> {
  const owned = await deps.store.grantTerm(record.episode_id, deps.workerId, record.term);
  if (owned === null) return false;
  const { journal } = await Journal.resume(deps.store, record.episode_id, owned.term);
  await journal.append({ type: "term.granted", worker: deps.workerId, from_n: journal.last + 1 });
  await endUnjudged({ deps, record: owned, journal }, "sandbox_lost", failure);
  deps.log.warn({ episodeId: record.episode_id, term: owned.term }, "owner lost, episode ended");
  return true;
}

async function wakeQueued(deps: WorkerDeps, record: EpisodeRecord): Promise<boolean> {
  if (steadyNow() - record.created_at > record.wait_capacity_s * 1000 && record.term === 0) {
    const { journal } = await Journal.resume(deps.store, record.episode_id, record.term);
    const failure = {
      code: "capacity",
      stage: "queue",
      message: `no worker took it within wait_capacity_s ${record.wait_capacity_s}`,
    };
    return tolerateStale(() => endUnjudged({ deps, record, journal }, "capacity", failure));
  }
  const jobId = `${record.episode_id}-t${record.term + 1}`;
  if (await deps.queues.hasJob("episode", jobId)) return false;
  await deps.queues.addEpisode({ episode_id: record.episode_id, term: record.term + 1 });
  return true;
}

/** A verify job that vanished (its worker and Redis lost it) comes again under a new number. */
async function wakeVerifying(deps: WorkerDeps, record: EpisodeRecord): Promise<boolean> {
  const verdicts = await deps.store.verdicts(record.episode_id);
  const attempt = Math.max(1, ...verdicts.map((v) => v.attempt + 1), record.lost_terms + 1);
  for (let n = 1; n <= attempt; n++)
    if (await deps.queues.hasJob("verify", `${record.episode_id}-t${record.term}-v${n}`)) return false;
  const claimed = await deps.store.update(
    record.episode_id,
    { term: record.term, states: ["verifying"] },
    { lost_terms: record.lost_terms + 1, worker: null },
  );
  if (claimed === null) return false;
  await deps.queues.addVerify(
    { kind: "episode", episode_id: record.episode_id, term: record.term },
    { attempt: attempt + 1 },
  );
  return true;
}

async function tolerateStale(work: () => Promise<void>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (error instanceof GymError && error.code === "stale_term") return false;
    throw error;
  }
}
