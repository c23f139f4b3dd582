import type { EpisodeRecord } from "../core/episode.ts";
import type { EpisodeId } from "../core/ids.ts";
import type { WorkerDeps } from "./deps.ts";
import { Journal } from "./episode/journal.ts";

/** Who ended an episode writes the end into its log at once; later than this it is not coming any more. */
const OWED_AFTER_MS = 3_000;

/**
 * The record of an ended episode is committed before its log says so: whoever dies in between leaves a log without an end.
 * Writes what is missing from the record. Done twice it adds nothing that a reader would see: the numbers are the same. Nobody
 * goes on from what such an episode saved, so that is dropped. Answers how many logs it completed.
 */
export async function completeLogs(deps: Pick<WorkerDeps, "store" | "log">): Promise<number> {
  const ended = await deps.store.unclosed(OWED_AFTER_MS);
  let completed = 0;
  for (const record of ended) if (await completeLog(deps, record)) completed++;
  for (const { episode_id } of ended) await dropSnapshots(deps.store, episode_id);
  await deps.store.closeLogs(ended.map(({ episode_id }) => episode_id));
  return completed;
}

async function dropSnapshots(store: WorkerDeps["store"], id: EpisodeId): Promise<void> {
  const { events } = await store.events(id, { types: ["episode.saved", "episode.parked"] });
  for (const event of events)
    if (event.type === "episode.saved" || event.type === "episode.parked") await store.dropSnapshot(event.snapshot);
}

/** False when the log has its end. */
export async function completeLog({ store, log }: Pick<WorkerDeps, "store" | "log">, record: EpisodeRecord) {
  const { events } = await store.events(record.episode_id, { types: ["episode.ended"] });
  if (events.length > 0) return false;
  const { journal } = await Journal.resume(store, record.episode_id, record.term);
  await appendEnd(journal, record);
  log.warn({ episodeId: record.episode_id, outcome: record.outcome }, "end written into a log that lacked it");
  return true;
}

export async function appendEnd(journal: Journal, record: EpisodeRecord): Promise<void> {
  await journal.append(
    {
      type: "reward.committed",
      reward: record.reward,
      reward_status: record.reward_status,
      trainable: record.trainable ?? false,
    },
    {
      type: "episode.ended",
      stop_reason: record.stop_reason ?? "submitted",
      outcome: record.outcome ?? "infra_error",
      failure: record.failure,
    },
  );
}
