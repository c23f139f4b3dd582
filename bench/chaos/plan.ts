import type { Fault } from "./fault.ts";
import type { RowResult } from "./row.ts";

/** Episodes below which a fault hits nothing. */
const FEWEST = 12;
/** A run of this size makes every injection; a smaller one makes fewer, but one. */
const FULL_RUN = 10_000;

export interface PlannedRow {
  readonly fault: Fault;
  readonly episodes: number;
  readonly times: number;
}

/** By row number or name, separated by commas; empty: all. */
export function selectFaults(faults: readonly Fault[], wanted: string): readonly Fault[] {
  const names = wanted.split(",").filter((name) => name !== "");
  if (names.length === 0) return faults;
  const chosen = faults.filter(({ row, name }) => names.includes(String(row)) || names.includes(name));
  const missing = names.filter((name) => !faults.some((fault) => String(fault.row) === name || fault.name === name));
  if (missing.length > 0) throw new RangeError(`there is no row ${missing.join(", ")}: --list shows them`);
  return chosen;
}

/** Shares the episodes out by weight. */
export function planRows(faults: readonly Fault[], episodes: number): PlannedRow[] {
  const total = faults.reduce((sum, { weight = 1 }) => sum + weight, 0);
  return faults.map((fault) => {
    const share = Math.min(1, episodes / FULL_RUN);
    return {
      fault,
      episodes: Math.max(FEWEST, Math.round((episodes * (fault.weight ?? 1)) / total)),
      times: Math.max(1, Math.round((fault.times ?? 1) * share)),
    };
  });
}

export function summaryOf(rows: readonly RowResult[]) {
  const violations = rows.flatMap((row) => row.violations);
  const count = (...kinds: readonly string[]): number => violations.filter(({ kind }) => kinds.includes(kind)).length;
  const clean = rows.filter(({ row }) => row === 0);
  const sum = (of: (row: RowResult) => number, among = rows): number => among.reduce((all, row) => all + of(row), 0);
  return {
    episodes: sum((row) => row.episodes),
    faults: new Set(rows.filter(({ row }) => row > 0).map(({ row }) => row)).size,
    injected: sum((row) => row.injected),
    lost: count("lost"),
    doubled: count("doubled"),
    false_rewards: count("false_reward"),
    leaks: count("leak"),
    violations: violations.length,
    recovered: sum((row) => row.recovered),
    /** Of the episodes without a fault. Null: that row was not run. */
    infra_share: clean.length === 0 ? null : sum((row) => row.infra, clean) / sum((row) => row.episodes, clean),
    rows: rows.map((row) => ({ ...row, violations: row.violations.length, found: row.violations })),
  };
}
