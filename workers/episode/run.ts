import type { EpisodeRecord } from "../../core/episode.ts";
import { boundary, GymError } from "../../core/errors.ts";
import type { EpisodeJob } from "../../core/jobs.ts";
import type { WorkerDeps } from "../deps.ts";
import { enqueueOrSweep } from "../hints.ts";
import { waitForImage } from "../images/waiting.ts";
import type { EpisodeActor } from "./actor.ts";
import { boot } from "./boot.ts";
import { driveScript } from "./drive.ts";
import { describeFailure, endUnjudged, notifyState } from "./ending.ts";
import { type History, historyOf, mailOf } from "./history.ts";
import { type Journal, resumeFromBirth } from "./journal.ts";
import type { LiveEpisodes } from "./live.ts";
import { grantWithinShare, wakeNext } from "./share.ts";

/**
 * The processor of queue `episode`: one job is one live episode, from the grant of its term until it leaves this worker. A
 * job whose term is not the next one is obsolete and does nothing.
 */
export async function runEpisode(
  deps: WorkerDeps,
  live: LiveEpisodes,
  job: EpisodeJob,
  signal: AbortSignal,
): Promise<void> {
  await waitForImage(deps, await deps.store.episode(job.episode_id), "queued");
  const record = await grantWithinShare(deps, job);
  if (record === null) return;
  live.own(record.episode_id);
  try {
    const { journal, events } = await resumeFromBirth(deps.store, record);
    await journal.append({ type: "term.granted", worker: deps.workerId, from_n: journal.last + 1 });
    const history = historyOf(events);
    if (history.frozen !== null) return await judgeFrozen(deps, record, journal, history.frozen);
    const actor = await bootOrEnd(deps, record, journal, history);
    if (actor !== null) await liveIn(deps, live, { actor, record, history }, signal);
  } finally {
    live.remove(record.episode_id);
    await wakeNext(deps, record.owner);
  }
}

/** From the boot until the episode leaves this worker. Our own mistakes end it typed, without a reward. */
async function liveIn(
  deps: WorkerDeps,
  live: LiveEpisodes,
  { actor, record, history }: { actor: EpisodeActor; record: EpisodeRecord; history: History },
  signal: AbortSignal,
): Promise<void> {
  live.add(record.episode_id, actor);
  const onAbort = () => {
    actor
      .abandon()
      .catch((error: unknown) => deps.log.error({ err: error, episodeId: record.episode_id }, "episode did not stop"));
  };
  signal.addEventListener("abort", onAbort, { once: true });
  // The job may have been lost while the episode booted.
  if (signal.aborted) onAbort();
  try {
    await carryOn(deps, actor, record, history);
    await actor.ended;
    if (record.script !== null) await wakeScript(deps, record);
  } catch (error) {
    deps.log.warn({ err: error, episodeId: record.episode_id, term: record.term }, "episode stopped in this owner");
    if (error instanceof GymError && error.code === "stale_term") await actor.abandon();
    else await actor.end("sandbox_lost", describeFailure(error, "step"));
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Nobody steps a script but its owner: one that was parked goes on in the next. */
async function wakeScript({ store, queues }: WorkerDeps, { episode_id, term }: EpisodeRecord): Promise<void> {
  if ((await store.episode(episode_id))?.state === "parked") await queues.addEpisode({ episode_id, term: term + 1 });
}

/** What is due at once: an end that was not handed over, a step that was not answered, the rest of a script. */
async function carryOn(deps: WorkerDeps, actor: EpisodeActor, record: EpisodeRecord, history: History): Promise<void> {
  if (history.stop !== null) return actor.end(history.stop, null);
  if (history.unanswered !== null) await actor.resume(mailOf(history.unanswered, record.term));
  if (record.script !== null) await driveScript(deps, actor, record, record.script);
}

/** The former owner froze the workspace and died before the hand-over. */
async function judgeFrozen(
  deps: WorkerDeps,
  record: EpisodeRecord,
  journal: Journal,
  frozen: NonNullable<History["frozen"]>,
): Promise<void> {
  const updated = await deps.store.update(
    record.episode_id,
    { term: record.term },
    {
      state: "verifying",
      pending_reason: null,
      stop_reason: frozen.stop,
      submission: frozen.submission,
      reward_status: "pending",
      worker: null,
    },
  );
  if (updated === null) return;
  const job = { kind: "episode", episode_id: record.episode_id, term: record.term } as const;
  await enqueueOrSweep(deps.log, deps.queues.addVerify(job, { attempt: 1 }));
  await notifyState(deps, updated, journal.last, "state");
}

async function bootOrEnd(
  deps: WorkerDeps,
  record: EpisodeRecord,
  journal: Journal,
  history: History,
): Promise<EpisodeActor | null> {
  try {
    return await boundary("boot", "sandbox_unavailable", () => boot({ deps, record, journal, history }));
  } catch (error) {
    if (error instanceof GymError && error.code === "stale_term") return null;
    deps.log.error(
      { err: error, episodeId: record.episode_id, taskId: record.environment.task_id },
      "episode did not boot",
    );
    const failure = describeFailure(error, "boot");
    const flags = failure.code === "version_changed" ? [...record.flags, "framework_changed"] : record.flags;
    await endUnjudged({ deps, record, journal }, "sandbox_lost", failure, { flags });
    return null;
  }
}
