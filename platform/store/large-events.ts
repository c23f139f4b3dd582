import * as z from "zod";
import { GymError } from "../../core/errors.ts";
import { EpisodeEvent, EVENT_TYPES, type EventType } from "../../core/events.ts";
import { Digest, EpisodeId } from "../../core/ids.ts";
import type { BlobStore, EventStore } from "../../core/store.ts";
import type { EventQuery } from "./event-page.ts";

/** An event whose text is longer lies in a blob, and its place holds a reference (runtime.md §3). */
const MOST_INLINE_BYTES = 64 * 1024;
const DEFAULT_PAGE_BYTES = 32 * 1024 * 1024;

/** In the place of a large event: what decides whether a reader wants it, and where it lies. */
const EventReference = z.object({
  v: z.literal(1),
  episode_id: EpisodeId,
  n: z.int().min(0),
  term: z.int().min(0),
  at: z.int(),
  type: z.enum(EVENT_TYPES as [EventType, ...EventType[]]), // keys of a literal table
  blob: Digest.describe("the whole event as JSON"),
  bytes: z.int(),
});
type EventReference = z.infer<typeof EventReference>;

export type StoredEvent = EpisodeEvent | EventReference;

/** Parses an event as it lies in a segment or a row. */
export function parseStoredEvent(value: unknown): StoredEvent {
  return isReference(value) ? EventReference.parse(value) : EpisodeEvent.parse(value);
}

const isReference = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "blob" in value && "bytes" in value;

/** What a backend keeps: small events and references. */
export interface StoredEvents {
  append(events: readonly StoredEvent[]): Promise<void>;
  events(
    id: EpisodeId,
    query?: EventQuery,
  ): Promise<{ readonly events: readonly StoredEvent[]; readonly next: number | null }>;
}

/** The event store over a backend: large events go through blobs, both ways, and nobody else has to know. */
export function withLargeEvents(stored: StoredEvents, blobs: BlobStore): EventStore {
  /** While large events are on their way to their blobs, what is appended later waits, so that order is kept. */
  let ahead: Promise<unknown> | null = null;
  const append = (events: readonly EpisodeEvent[]): Promise<void> => {
    const texts = events.map((event) => JSON.stringify(event));
    if (ahead === null && !texts.some(isLarge)) return stored.append(events);
    const shrunk = Promise.all(events.map((event, i) => shrink(blobs, event, texts[i] ?? "")));
    const writing: Promise<void> = Promise.allSettled([ahead]).then(async () => stored.append(await shrunk));
    shrunk.catch(() => undefined); // `writing` tells of it
    const settled = writing.then(
      () => undefined,
      () => undefined,
    );
    ahead = settled;
    void settled.then(() => {
      if (ahead === settled) ahead = null;
    });
    return writing;
  };
  return {
    append,
    events: async (id, query = {}) => {
      const page = await stored.events(id, query);
      const events: EpisodeEvent[] = [];
      let bytes = 0;
      for (const event of page.events) {
        if ("blob" in event) bytes += event.bytes;
        if (events.length > 0 && bytes > (query.maxBytes ?? DEFAULT_PAGE_BYTES))
          return { events, next: events.at(-1)?.n ?? null };
        events.push("blob" in event ? await fetchEvent(blobs, event) : event);
      }
      return { events, next: page.next };
    },
  };
}

const isLarge = (text: string): boolean => text.length > MOST_INLINE_BYTES;

async function shrink(blobs: BlobStore, event: EpisodeEvent, text: string): Promise<StoredEvent> {
  // A grant fences others off by what is in its line.
  if (!isLarge(text) || event.type === "term.granted") return event;
  const { v, episode_id, n, term, at, type } = event;
  const data = Buffer.from(text);
  return { v, episode_id, n, term, at, type, blob: await blobs.putBlob(data), bytes: data.length };
}

async function fetchEvent(blobs: BlobStore, { episode_id, n, blob }: EventReference): Promise<EpisodeEvent> {
  const data = await blobs.blob(blob);
  if (data === null)
    throw new GymError("store_failed", `event ${n} of ${episode_id} lies in blob ${blob}, which is gone`);
  return EpisodeEvent.parse(JSON.parse(Buffer.from(data).toString("utf8")));
}
