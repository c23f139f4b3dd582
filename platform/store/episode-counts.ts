import { EpisodeState, Outcome } from "../../core/episode.ts";
import type { EpisodeCounts } from "../../core/store.ts";

/** A row of `count(*) AS n` by state and outcome; with the run and its latest change where they are asked for. */
type CountRow = Record<string, unknown>;

export function countsOf(rows: readonly CountRow[]): EpisodeCounts {
  const state: Partial<Record<EpisodeState, number>> = {};
  const outcome: Partial<Record<Outcome, number>> = {};
  let total = 0;
  for (const row of rows) {
    const n = Number(row.n);
    const inState = EpisodeState.parse(row.state);
    total += n;
    state[inState] = (state[inState] ?? 0) + n;
    if (row.outcome === null) continue;
    const ended = Outcome.parse(row.outcome);
    outcome[ended] = (outcome[ended] ?? 0) + n;
  }
  return { total, state, outcome };
}

/** The latest first. */
export function runsOf(rows: readonly CountRow[]): { run: string; counts: EpisodeCounts; last_at: number }[] {
  return [...Map.groupBy(rows, (row) => String(row.run))]
    .map(([run, parts]) => ({
      run,
      counts: countsOf(parts),
      last_at: Math.max(...parts.map((part) => Number(part.last_at))),
    }))
    .sort((a, b) => b.last_at - a.last_at);
}
