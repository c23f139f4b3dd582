import type { SQLInputValue } from "node:sqlite";
import type { EpisodeFilter } from "../../core/store.ts";

/** Of one answer of `unclosed`: the rest comes with the next. */
export const MOST_UNCLOSED = 500;

export interface Where {
  /** Without the word WHERE; "1" when everything is asked for. */
  readonly text: string;
  readonly values: SQLInputValue[];
}

export function whereOf(filter: EpisodeFilter): Where {
  const parts: string[] = [];
  const values: SQLInputValue[] = [];
  const columns = {
    run: filter.run,
    state: filter.state,
    outcome: filter.outcome,
    task: filter.task,
    framework: filter.framework,
    owner: filter.owner,
  };
  for (const [column, value] of Object.entries(columns)) {
    if (value === undefined) continue;
    parts.push(`${column} = ?`);
    values.push(value);
  }
  if (filter.label !== undefined) {
    const at = filter.label.indexOf("=");
    parts.push("EXISTS (SELECT 1 FROM json_each(record, '$.labels') AS label WHERE label.key = ? AND label.value = ?)");
    values.push(at === -1 ? filter.label : filter.label.slice(0, at), at === -1 ? "" : filter.label.slice(at + 1));
  }
  if (filter.withoutSealed === true) parts.push("split <> 'sealed'");
  if (filter.scripted !== undefined) {
    parts.push("scripted = ?");
    values.push(filter.scripted ? 1 : 0);
  }
  return { text: parts.length === 0 ? "1" : parts.join(" AND "), values };
}

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1_000;

export const pageLimit = (limit: number | undefined): number =>
  Math.max(1, Math.min(limit ?? DEFAULT_LIMIT, MAX_LIMIT));

/** A cursor is the number of a row; null is the start. */
export function cursorNumber(cursor: string | undefined): number | null {
  if (cursor === undefined) return null;
  if (!/^\d{1,15}$/.test(cursor)) throw new RangeError(`a cursor is the next of a page, got ${JSON.stringify(cursor)}`);
  return Number(cursor);
}
