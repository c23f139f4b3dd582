import type { EpisodeRecord } from "../core/episode.ts";
import { ProblemError } from "../core/errors.ts";
import type { EpisodeId } from "../core/ids.ts";
import { steadyNow } from "../platform/clock.ts";
import type { Watch } from "./hub.ts";
import type { Parts } from "./parts.ts";

/** Longest time between two looks into the store while nothing is said: mail may be lost. */
export const POLL_MS = 1_000;

/** How long a call may wait, and whether its caller is still there. */
export interface Wait {
  /** Epoch ms. */
  readonly deadline: number;
  readonly signal: AbortSignal;
}

export const isOver = (wait: Wait): boolean => wait.signal.aborted || steadyNow() >= wait.deadline;

/** Until the next word about what `watch` watches, the next poll or the end of the wait. */
export const nextLook = (watch: Watch, wait: Wait, pollMs = POLL_MS): Promise<void> =>
  watch.changed(Math.max(0, Math.min(pollMs, wait.deadline - steadyNow())), wait.signal);

/** Reads the record until `settled` holds or the wait is over; answers the last one read. */
export async function waitForEpisode(
  parts: Parts,
  id: EpisodeId,
  settled: (record: EpisodeRecord) => boolean,
  wait: Wait,
): Promise<EpisodeRecord> {
  using watch = parts.hub.watch(id);
  for (;;) {
    const record = await parts.store.episode(id);
    if (record === null)
      throw new ProblemError("not_found", `there is no episode ${id}`, "GET /v1/episodes lists yours");
    if (settled(record) || isOver(wait)) return record;
    await nextLook(watch, wait);
  }
}
