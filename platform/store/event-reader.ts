import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { GymError } from "../../core/errors.ts";
import { foldTerms } from "../../core/events.ts";
import type { EpisodeId } from "../../core/ids.ts";
import { choosePage, type EventQuery } from "./event-page.ts";
import { parseStoredEvent, type StoredEvent, type StoredEvents } from "./large-events.ts";
import { SegmentFile } from "./segment-file.ts";
import type { IndexEntry } from "./segment-line.ts";

/** Lines this close are read at once. */
const READ_GAP_BYTES = 16 * 1024;
const READ_BYTES = 256 * 1024;
/** After so much reading and parsing others get a turn. */
const TURN_BYTES = 1024 * 1024;
/** Index entries in memory, about 100 bytes each. */
const MAX_ENTRIES = 300_000;

interface Found extends IndexEntry {
  readonly file: SegmentFile;
}

/** Reads the segments of every process below one folder. */
export class EventReader {
  readonly #dir: string;
  readonly #segmentsOf: (id: EpisodeId) => readonly string[];
  /** Least recently used first. */
  readonly #files = new Map<string, SegmentFile>();

  constructor(dir: string, segmentsOf: (id: EpisodeId) => readonly string[]) {
    this.#dir = dir;
    this.#segmentsOf = segmentsOf;
  }

  /** Which events there are is decided on the index alone; only those of the page are read. */
  async events(id: EpisodeId, query: EventQuery = {}): ReturnType<StoredEvents["events"]> {
    const files = this.#segmentsOf(id).map((name) => this.file(name));
    for (const file of files) file.users++;
    try {
      const { page, more } = choosePage(foundIn(files, id, query.after), query);
      const events = await readEvents(page);
      return { events, next: more ? (page.at(-1)?.n ?? null) : null };
    } finally {
      for (const file of files) file.users--;
      this.#evict();
    }
  }

  /** A segment with what is in it now. */
  file(name: string): SegmentFile {
    try {
      const file = this.#files.get(name) ?? new SegmentFile(join(this.#dir, name));
      this.#files.delete(name);
      this.#files.set(name, file);
      file.refresh();
      return file;
    } catch (error) {
      throw new GymError("store_failed", `segment ${name} cannot be read`, { cause: error });
    }
  }

  close(): void {
    for (const file of this.#files.values()) file.close();
    this.#files.clear();
  }

  #evict(): void {
    let entries = 0;
    for (const file of this.#files.values()) entries += file.size;
    for (const [name, file] of this.#files) {
      if (entries <= MAX_ENTRIES) return;
      if (file.users > 0) continue;
      this.#files.delete(name);
      entries -= file.size;
      file.close();
    }
  }
}

function foundIn(files: readonly SegmentFile[], id: EpisodeId, after: number | undefined): Found[] {
  const found = files.flatMap((file) => file.entries(id, after).map((entry) => ({ ...entry, file })));
  return foldTerms(found.filter((entry) => entry.type !== "record"));
}

async function readEvents(page: readonly Found[]): Promise<StoredEvent[]> {
  const events = new Map<Found, StoredEvent>();
  let sinceTurn = 0;
  for (const span of spans(page)) {
    const [first] = span.lines;
    if (first === undefined) continue;
    const bytes = first.file.read(span.start, span.end - span.start);
    for (const line of span.lines) events.set(line, parseEvent(bytes, line, span.start));
    sinceTurn += span.end - span.start;
    if (sinceTurn < TURN_BYTES) continue;
    sinceTurn = 0;
    await nextTurn();
  }
  return page.flatMap((entry) => events.get(entry) ?? []);
}

function parseEvent(bytes: Buffer, line: Found, start: number): StoredEvent {
  const at = line.offset - start;
  try {
    return parseStoredEvent(JSON.parse(bytes.toString("utf8", at, at + line.length)));
  } catch (error) {
    throw new GymError(
      "store_failed",
      `event ${line.n} of ${line.episodeId} cannot be read at byte ${line.offset} of its segment`,
      {
        cause: error,
      },
    );
  }
}

interface Span {
  start: number;
  end: number;
  readonly lines: Found[];
}

/** Neighbouring lines of one file together. */
function spans(page: readonly Found[]): Span[] {
  const byFile = Map.groupBy(page, (entry) => entry.file);
  const all: Span[] = [];
  for (const entries of byFile.values()) {
    let span: Span | null = null;
    for (const entry of entries.toSorted((a, b) => a.offset - b.offset)) {
      const end = entry.offset + entry.length;
      if (span !== null && entry.offset - span.end <= READ_GAP_BYTES && end - span.start <= READ_BYTES) {
        span.end = end;
        span.lines.push(entry);
        continue;
      }
      span = { start: entry.offset, end, lines: [entry] };
      all.push(span);
    }
  }
  return all;
}
