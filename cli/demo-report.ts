import { isServed, type MatrixRow } from "./catalog.ts";
import { type FinishedRollout, isMasked, passed } from "./rollouts.ts";

interface Tally {
  readonly episodes: number;
  readonly passed: number;
}

/** What `demo --json` prints. */
export interface DemoReport {
  readonly tasks: number;
  readonly frameworks: number;
  readonly verifiers: number;
  /** Task × framework × verifier combinations that are served. */
  readonly cells: number;
  /** Gold runs once per served task and framework; passed: every verifier scored it 1. */
  readonly gold: Tally;
  readonly nothing: Tally;
  readonly cheat: Tally;
  /** Episodes without a reward: failures of ours. */
  readonly masked: number;
  readonly sandboxes_left: number;
  readonly wall_s: number;
}

export interface DemoResult {
  readonly rows: readonly MatrixRow[];
  readonly finished: readonly FinishedRollout[];
  readonly sandboxesLeft: number;
  readonly wallMs: number;
}

export function demoReport({ rows, finished, sandboxesLeft, wallMs }: DemoResult): DemoReport {
  const served = rows.filter(isServed);
  const count = (names: readonly string[]) => new Set(names).size;
  const of = (script: string) => finished.filter(({ rollout }) => rollout.script === script);
  // Gold must convince everybody; for the others any reward above 0 is a success they must not have.
  const rewarded = (script: string): Tally => ({
    episodes: of(script).length,
    passed: of(script).filter(({ answer }) => (answer.reward ?? 0) > 0).length,
  });
  return {
    tasks: count(served.map((row) => row.task_id)),
    frameworks: count(served.map((row) => row.framework)),
    verifiers: count(served.flatMap((row) => row.verifiers)),
    cells: served.reduce((sum, row) => sum + row.verifiers.length, 0),
    gold: { episodes: of("gold").length, passed: of("gold").filter(({ answer }) => passed(answer)).length },
    nothing: rewarded("nothing"),
    cheat: rewarded("cheat"),
    masked: finished.filter(({ answer }) => isMasked(answer)).length,
    sandboxes_left: sandboxesLeft,
    wall_s: Math.round(wallMs / 100) / 10,
  };
}

/** True when gold convinced every verifier, nothing else earned a reward, and nothing failed or was left behind. */
export const isAsExpected = (report: DemoReport): boolean =>
  report.cells > 0 &&
  report.gold.episodes > 0 &&
  report.gold.passed === report.gold.episodes &&
  report.nothing.episodes > 0 &&
  report.nothing.passed === 0 &&
  report.cheat.episodes > 0 &&
  report.cheat.passed === 0 &&
  report.masked === 0 &&
  report.sandboxes_left === 0;

/** What one cell of the table says. */
export type CellState = "right" | "wrong" | "masked" | "absent";

/** A cell is right when its verifier scored gold 1 and everything else ended without a reward. */
export function cellState(
  row: MatrixRow | undefined,
  verifier: string,
  finished: readonly FinishedRollout[],
): CellState {
  if (row === undefined || !isServed(row) || !row.verifiers.includes(verifier)) return "absent";
  const mine = finished.filter(({ rollout }) => rollout.task === row.task_id && rollout.framework === row.framework);
  if (mine.some(({ answer }) => isMasked(answer))) return "masked";
  const right = mine.every(({ rollout, answer }) =>
    rollout.script === "gold"
      ? answer.verdicts.some((verdict) => verdict.verifier === verifier && verdict.score === 1)
      : answer.reward === 0,
  );
  return right && mine.length > 0 ? "right" : "wrong";
}
