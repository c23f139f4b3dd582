import { GymError } from "../../../core/errors.ts";
import { foldTerms } from "../../../core/events.ts";
import type { EpisodeId } from "../../../core/ids.ts";
import { choosePage, type EventQuery } from "../event-page.ts";
import { parseStoredEvent, type StoredEvent, type StoredEvents } from "../large-events.ts";
import type { Connection, Row } from "./connection.ts";

/** One statement carries no more, so that it stays far from its time limit. */
const BATCH_EVENTS = 1_000;
const BATCH_BYTES = 8 * 1024 * 1024;

/** Sent twice it changes nothing: an owner writes each number once in its term. */
const INSERT = `
  INSERT INTO events (episode_id, n, term, from_n, type, bytes, event)
  SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::integer[], $7::text[])
  ON CONFLICT DO NOTHING`;

/** What decides which events there are; the grants below the page fence off what is on it. */
const HEADS = `
  SELECT n, term, from_n, type, bytes FROM events
  WHERE episode_id = $1 AND (n > $2 OR from_n IS NOT NULL) ORDER BY n, term`;

const BODIES = `
  SELECT e.event FROM unnest($2::bigint[], $3::bigint[]) AS wanted (n, term)
  JOIN events AS e ON e.episode_id = $1 AND e.n = wanted.n AND e.term = wanted.term ORDER BY e.n`;

interface Writing {
  readonly events: readonly StoredEvent[];
  readonly texts: readonly string[];
  readonly bytes: number;
  readonly done: PromiseWithResolvers<void>;
}

/** Events as rows. Appends made while one is under way share the next statement, and with it its commit. */
export class EventRows implements StoredEvents {
  readonly #connection: Connection;
  #waiting: Writing[] = [];
  #writer: Promise<void> | null = null;
  #closed = false;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async append(events: readonly StoredEvent[]): Promise<void> {
    if (this.#closed) throw new GymError("store_failed", "the store is closed");
    if (events.length === 0) return;
    const texts = events.map((event) => JSON.stringify(event));
    const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
    const done = Promise.withResolvers<void>();
    this.#waiting.push({ events, texts, bytes, done });
    this.#writer ??= this.#write();
    await done.promise;
  }

  async events(id: EpisodeId, query: EventQuery = {}) {
    const rows = await this.#connection.rows(HEADS, [id, query.after ?? -1]);
    const { page, more } = choosePage(foldTerms(rows.map(headOf)), query);
    if (page.length === 0) return { events: [], next: null };
    const numbers = [page.map((head) => head.n), page.map((head) => head.term)];
    const bodies = await this.#connection.rows(BODIES, [id, ...numbers]);
    return { events: bodies.map((row) => parseEvent(id, row)), next: more ? (page.at(-1)?.n ?? null) : null };
  }

  /** Waits for what is being written. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#writer;
  }

  /** Never rejects: each call learns of its own batch. */
  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#takeBatch();
      try {
        await this.#connection.rows(INSERT, columnsOf(batch));
        for (const { done } of batch) done.resolve();
      } catch (error) {
        for (const { done } of batch) done.reject(error);
      }
    }
    this.#writer = null;
  }

  /** Whole calls, so that none is half there; at least one. */
  #takeBatch(): Writing[] {
    let events = 0;
    let bytes = 0;
    let count = 0;
    for (const writing of this.#waiting) {
      events += writing.events.length;
      bytes += writing.bytes;
      if (count > 0 && (events > BATCH_EVENTS || bytes > BATCH_BYTES)) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }
}

function columnsOf(batch: readonly Writing[]): unknown[][] {
  const events = batch.flatMap((writing) => writing.events);
  const texts = batch.flatMap((writing) => writing.texts);
  return [
    events.map((event) => event.episode_id),
    events.map((event) => event.n),
    events.map((event) => event.term),
    events.map((event) => ("from_n" in event ? event.from_n : null)),
    events.map((event) => event.type),
    texts.map((text) => Buffer.byteLength(text)),
    texts,
  ];
}

function headOf(row: Row) {
  const head = { n: Number(row.n), term: Number(row.term), type: String(row.type), length: Number(row.bytes) };
  return row.from_n === null ? head : { ...head, from_n: Number(row.from_n) };
}

function parseEvent(id: EpisodeId, row: Row): StoredEvent {
  try {
    return parseStoredEvent(JSON.parse(String(row.event)));
  } catch (error) {
    throw new GymError("store_failed", `an event of ${id} cannot be read`, { cause: error });
  }
}
