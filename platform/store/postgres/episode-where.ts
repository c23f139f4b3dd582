import type { EpisodeFilter } from "../../../core/store.ts";

export interface Where {
  /** Without the word WHERE; "TRUE" when everything is asked for. */
  readonly text: string;
  readonly values: unknown[];
}

/** Free text as it is kept: PostgreSQL takes no NUL character in text, JSON writes it in others. */
export const jsonText = (text: string): string => JSON.stringify(text);

/** A label as one element of an array. */
export const labelText = (name: string, value: string): string => JSON.stringify([name, value]);

export function whereOf(filter: EpisodeFilter): Where {
  const parts: string[] = [];
  const values: unknown[] = [];
  const mark = (value: unknown) => `$${values.push(value)}`;
  const columns = {
    run: filter.run === undefined ? undefined : jsonText(filter.run),
    state: filter.state,
    outcome: filter.outcome,
    task: filter.task,
    framework: filter.framework,
    owner: filter.owner,
  };
  for (const [column, value] of Object.entries(columns)) {
    if (value === undefined) continue;
    // Such a text is in no column, and may not even be asked for.
    parts.push(value.includes("\u0000") ? "FALSE" : `${column} = ${mark(value)}`);
  }
  if (filter.label !== undefined) {
    const at = filter.label.indexOf("=");
    const [name, value] = at === -1 ? [filter.label, ""] : [filter.label.slice(0, at), filter.label.slice(at + 1)];
    parts.push(`labels @> ARRAY[${mark(labelText(name, value))}]::text[]`);
  }
  if (filter.withoutSealed === true) parts.push("split <> 'sealed'");
  if (filter.scripted !== undefined) parts.push(`scripted = ${mark(filter.scripted)}`);
  return { text: parts.length === 0 ? "TRUE" : parts.join(" AND "), values };
}
