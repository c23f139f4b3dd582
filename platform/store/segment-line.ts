import * as z from "zod";
import { EpisodeRecord } from "../../core/episode.ts";
import { EVENT_TYPES, type EventType } from "../../core/events.ts";
import { Digest } from "../../core/ids.ts";
import type { StoredEvent } from "./large-events.ts";

/**
 * A segment is a file of JSON lines that only grows. A line is an event, or a copy of an episode's record (made when the
 * episode is created and when it is done), from which the database can be made again. Beside it lies an index that can be
 * made again from the segment: per line where it is and what decides whether a reader wants it.
 */

export const RecordLine = z.object({ v: z.literal(1), record: EpisodeRecord, body_digest: Digest });
export type RecordLine = z.infer<typeof RecordLine>;

/** What the index knows of a line. `from_n` only of `term.granted`. */
export interface IndexEntry {
  readonly episodeId: string;
  /** "record" for a copy of the record. */
  readonly type: EventType | "record";
  readonly n: number;
  readonly term: number;
  readonly from_n?: number;
  /** Of the line's first byte. */
  readonly offset: number;
  /** Without the newline. */
  readonly length: number;
}

/** A line on its way to the segment. */
export interface NewLine {
  readonly episodeId: string;
  readonly head: Omit<IndexEntry, "offset" | "length">;
  /** With the newline. */
  readonly bytes: Buffer;
}

export function eventLine(event: StoredEvent): NewLine {
  return { episodeId: event.episode_id, head: headOf(event), bytes: Buffer.from(`${JSON.stringify(event)}\n`) };
}

export function recordLine(record: EpisodeRecord, bodyDigest: Digest): NewLine {
  const line: RecordLine = { v: 1, record, body_digest: bodyDigest };
  const head = { episodeId: record.episode_id, type: "record", n: -1, term: record.term } as const;
  return { episodeId: record.episode_id, head, bytes: Buffer.from(`${JSON.stringify(line)}\n`) };
}

type Head = Omit<IndexEntry, "offset" | "length">;

function headOf(event: StoredEvent): Head {
  const head = { episodeId: event.episode_id, type: event.type, n: event.n, term: event.term };
  return "from_n" in event ? { ...head, from_n: event.from_n } : head;
}

const Peek = z.union([
  z.object({
    episode_id: z.string(),
    type: z.enum(EVENT_TYPES as [EventType, ...EventType[]]), // keys of a literal table
    n: z.int(),
    term: z.int(),
    from_n: z.int().optional(),
  }),
  z.object({ record: z.object({ episode_id: z.string(), term: z.int() }) }),
]);

/** Null when the text is no line of a segment: the torn or unwritten end of one. */
export function peekLine(text: string): Head | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const peeked = Peek.safeParse(value);
  if (!peeked.success) return null;
  if ("record" in peeked.data)
    return { episodeId: peeked.data.record.episode_id, type: "record", n: -1, term: peeked.data.record.term };
  const { episode_id, type, n, term, from_n } = peeked.data;
  return from_n === undefined
    ? { episodeId: episode_id, type, n, term }
    : { episodeId: episode_id, type, n, term, from_n };
}

const typeNames: readonly string[] = EVENT_TYPES;
const isEventType = (text: string): text is EventType => typeNames.includes(text);

/** `episode type n term from_n|- offset length` */
export function formatIndexLine(entry: IndexEntry): string {
  return `${entry.episodeId} ${entry.type} ${entry.n} ${entry.term} ${entry.from_n ?? "-"} ${entry.offset} ${entry.length}\n`;
}

/** Null when the text is no line of an index. */
export function parseIndexLine(text: string): IndexEntry | null {
  const [episodeId, type, n, term, from, offset, length, ...more] = text.split(" ");
  if (episodeId === undefined || type === undefined || length === undefined || more.length > 0) return null;
  if (type !== "record" && !isEventType(type)) return null;
  const numbers = { n: Number(n), term: Number(term), offset: Number(offset), length: Number(length) };
  if (!Object.values(numbers).every(Number.isSafeInteger)) return null;
  return from === "-" ? { episodeId, type, ...numbers } : { episodeId, type, ...numbers, from_n: Number(from) };
}
