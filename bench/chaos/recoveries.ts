import { type EpisodeEvent, foldTerms } from "../../core/events.ts";
import type { Injected } from "./fault.ts";
import type { StoreLog } from "./log.ts";

/** Signs that an episode went on. */
const PROGRESS: ReadonlySet<EpisodeEvent["type"]> = new Set([
  "framework.opened",
  "episode.recovered",
  "step.observed",
  "verdict.recorded",
  "reward.committed",
]);

/**
 * How long it took, ms: for every episode whose owner was killed, from then until it went on elsewhere; for a fault without
 * a victim, from its end until anything went on.
 */
export function recoveries(log: StoreLog, injected: readonly Injected[], healed: readonly number[]): number[] {
  const all = [...log.events.values()].map((events) => ({ events, folded: foldTerms(events) }));
  return injected.flatMap(({ at, victims }, i) => {
    if (victims.length > 0)
      return all.flatMap(({ events, folded }) => {
        const wentOn = ownedAt(events, at, victims) ? progressAfter(folded, at) : null;
        return wentOn === null ? [] : [wentOn - at];
      });
    const from = healed[i] ?? at;
    const times = all.flatMap(({ folded }) => progressAfter(folded, from) ?? []);
    return times.length === 0 ? [] : [Math.min(...times) - from];
  });
}

/** Whether one of these processes had the episode at that time: by the last term that was granted before. */
function ownedAt(events: readonly EpisodeEvent[], at: number, workers: readonly string[]): boolean {
  if (events.some((event) => event.type === "episode.ended" && event.at < at)) return false;
  // The log does not say who judges: every episode that was being judged may have been the victim's.
  if (events.some((event) => event.type === "submission.frozen" && event.at < at)) return true;
  const grants = events.filter((event) => event.type === "term.granted" && event.at <= at);
  const last = grants.at(-1);
  return last?.type === "term.granted" && workers.includes(last.worker);
}

const progressAfter = (events: readonly EpisodeEvent[], at: number): number | null =>
  events.find((event) => event.at > at && PROGRESS.has(event.type))?.at ?? null;
