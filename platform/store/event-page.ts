import type { EventType } from "../../core/events.ts";

const DEFAULT_PAGE_BYTES = 32 * 1024 * 1024;

export interface EventQuery {
  readonly after?: number | undefined;
  readonly maxBytes?: number | undefined;
  readonly types?: readonly EventType[] | undefined;
}

/** What is known of an event without reading it. */
interface Head {
  readonly n: number;
  readonly type: string;
  readonly length: number;
}

/** The events that a query is answered with: at least one when there is any, else as many as fit its bytes. */
export function choosePage<H extends Head>(events: readonly H[], query: EventQuery): { page: H[]; more: boolean } {
  const { after = -1, maxBytes = DEFAULT_PAGE_BYTES, types } = query;
  const wanted = events.filter((e) => e.n > after && (types === undefined || types.some((type) => type === e.type)));
  let bytes = 0;
  let count = 0;
  for (const entry of wanted) {
    bytes += entry.length;
    if (count > 0 && bytes > maxBytes) break;
    count++;
  }
  return { page: wanted.slice(0, count), more: count < wanted.length };
}
