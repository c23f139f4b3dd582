import { closeSync, fstatSync, linkSync, openSync, readSync, unlinkSync, writeFileSync } from "node:fs";
import { PastIndex } from "./past-index.ts";
import { formatIndexLine, type IndexEntry, parseIndexLine, peekLine } from "./segment-line.ts";

const CHUNK_BYTES = 1024 * 1024;
/** Index lines of a past episode are read anew when somebody asks, if they lie within so many bytes: well below 1 ms. */
const MAX_PAST_BYTES = 256 * 1024;
/** Beyond so many, the episode that had no line for longest is past, ended or not: most of a server's segment is never asked for. */
const MAX_RECENT = 1_000;
const NEWLINE = 0x0a;

interface Place {
  readonly offset: number;
  readonly length: number;
}

/** What is known of an episode in a segment. */
interface Lines {
  /** Index lines, as text. */
  readonly unparsed: string[];
  readonly entries: IndexEntry[];
  /** Where the first of them is in the index; null when one was found without it. */
  from: number | null;
  /** The index's byte behind the last of them. */
  to: number;
}

interface IndexText {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

/**
 * One segment as a reader sees it: an index in memory that follows what its writer adds. A torn line at the end, or bytes
 * that a crash of the machine left unwritten, are passed over. Reads are synchronous: they meet the page cache.
 */
export class SegmentFile {
  readonly #path: string;
  readonly #data: number;
  #index: number | null;
  /** Without a line for longest first. */
  readonly #episodes = new Map<string, Lines>();
  readonly #past = new PastIndex();
  /** How far the index file is read. */
  #indexRead = 0;
  /** Bytes of the segment that the entries speak of. */
  #covered = 0;
  /** Size up to which lines without an index entry were looked for. */
  #scanned = 0;
  #bytes = 0;
  #count = 0;
  /** Readers that use the file now; one in use must not be closed. */
  users = 0;

  constructor(path: string) {
    this.#path = path;
    this.#data = openSync(`${path}.jsonl`, "r");
    this.#index = openIfThere(`${path}.idx`);
  }

  /** Takes in what was added since the last call. */
  refresh(): void {
    // First the size, then the index: its lines are written before the lines they speak of.
    this.#bytes = fstatSync(this.#data).size;
    this.#index ??= openIfThere(`${this.#path}.idx`);
    if (this.#index !== null) this.#readIndex(this.#index);
    if (this.#covered >= this.#bytes || this.#scanned >= this.#bytes) return;
    const found = this.#scan();
    this.#scanned = this.#bytes;
    if (this.#index === null && found > 0) this.#keepIndex();
  }

  /** Entries in memory. */
  get size(): number {
    return this.#count;
  }

  /**
   * Lines of an episode that are wholly there, in the order in which they were written: events numbered above `after`, and
   * whatever `term.granted` there is, which decides what of them counts.
   */
  entries(episodeId: string, after = -2): IndexEntry[] {
    return [...this.#pastEntries(episodeId), ...this.#keptEntries(episodeId)].filter(
      (entry) => (entry.n > after || entry.from_n !== undefined) && entry.offset + entry.length < this.#bytes,
    );
  }

  episodes(): string[] {
    const ids = new Set(this.#episodes.keys());
    const indexed = this.#index === null ? "" : readAt(this.#index, 0, this.#indexRead).toString("latin1");
    for (const [id] of indexed.matchAll(/^\S+/gm)) ids.add(id);
    return [...ids];
  }

  #keptEntries(episodeId: string): readonly IndexEntry[] {
    const lines = this.#episodes.get(episodeId);
    if (lines === undefined) return [];
    for (const text of lines.unparsed.splice(0)) {
      const entry = parseIndexLine(text);
      if (entry !== null) lines.entries.push(entry);
    }
    return lines.entries;
  }

  #pastEntries(episodeId: string): IndexEntry[] {
    const spans = this.#past.spans(episodeId);
    if (spans.length === 0 || this.#index === null) return [];
    const known = new Set(this.#keptEntries(episodeId).map((entry) => entry.offset));
    const found: IndexEntry[] = [];
    for (const { from, to } of spans)
      for (const line of readAt(this.#index, from, to - from)
        .toString("latin1")
        .split("\n")) {
        const entry = line.startsWith(`${episodeId} `) ? parseIndexLine(line) : null;
        if (entry === null || known.has(entry.offset)) continue;
        known.add(entry.offset);
        found.push(entry);
      }
    return found.sort((a, b) => a.offset - b.offset);
  }

  /** Bytes from `offset`. */
  read(offset: number, length: number): Buffer {
    return readAt(this.#data, offset, length);
  }

  close(): void {
    closeSync(this.#data);
    if (this.#index !== null) closeSync(this.#index);
  }

  /** Most episodes of a segment are never asked for, so their lines are kept as they are. */
  #readIndex(file: number): void {
    for (const line of this.#newIndexLines(file)) {
      const place = placeOf(line.text);
      // What a scan found before its index line came is there already.
      if (place === null || place.offset !== this.#covered) continue;
      this.#cover(place);
      this.#keep(line);
    }
  }

  /** A past episode is hardly asked for: of it only the place of its lines is kept. */
  #keep({ text, start, end }: IndexText): void {
    const [id = "", type] = text.split(" ", 2);
    const known = this.#episodes.has(id);
    if (!known && this.#past.extend(id, end, MAX_PAST_BYTES)) {
      this.#count--;
      return;
    }
    const lines = this.#linesOf(id);
    if (!known) lines.from = start;
    lines.to = end;
    lines.unparsed.push(text);
    this.#episodes.delete(id);
    this.#episodes.set(id, lines);
    if (type === "episode.ended") this.#letGo(id, lines);
    else if (this.#episodes.size > MAX_RECENT) this.#letOldestGo();
  }

  #letOldestGo(): void {
    const [oldest] = this.#episodes;
    if (oldest === undefined || this.#letGo(...oldest)) return;
    // It is looked at again when all others have been.
    this.#episodes.delete(oldest[0]);
    this.#episodes.set(...oldest);
  }

  /** False when its lines lie too far apart, or are not in the index. */
  #letGo(id: string, { from, to, unparsed, entries }: Lines): boolean {
    if (from === null || to - from > MAX_PAST_BYTES) return false;
    this.#past.add(id, { from, to });
    this.#episodes.delete(id);
    this.#count -= unparsed.length + entries.length - 1;
    return true;
  }

  #newIndexLines(file: number): IndexText[] {
    const size = fstatSync(file).size;
    if (size <= this.#indexRead) return [];
    const bytes = readAt(file, this.#indexRead, size - this.#indexRead);
    const found: IndexText[] = [];
    let used = 0;
    for (let at = bytes.indexOf(NEWLINE); at !== -1; at = bytes.indexOf(NEWLINE, used)) {
      const start = this.#indexRead + used;
      found.push({ text: bytes.toString("latin1", used, at), start, end: start + at - used + 1 });
      used = at + 1;
    }
    this.#indexRead += used;
    return found;
  }

  #scan(): number {
    let found = 0;
    for (const { text, start, end } of linesFrom(this.#data, this.#covered)) {
      const head = peekLine(text);
      if (head === null) break;
      const entry = { ...head, offset: start, length: end - start - 1 };
      const lines = this.#linesOf(entry.episodeId);
      lines.unparsed.push(formatIndexLine(entry).trimEnd());
      lines.from = null;
      this.#cover(entry);
      found++;
    }
    return found;
  }

  #linesOf(episodeId: string): Lines {
    const known = this.#episodes.get(episodeId);
    if (known !== undefined) return known;
    const lines: Lines = { unparsed: [], entries: [], from: null, to: 0 };
    this.#episodes.set(episodeId, lines);
    return lines;
  }

  #cover(place: Place): void {
    this.#count++;
    this.#covered = place.offset + place.length + 1;
  }

  /** Writes the index that is missing, unless somebody else just did. */
  #keepIndex(): void {
    const all = [...this.#episodes.keys()].flatMap((id) => this.entries(id)).sort((a, b) => a.offset - b.offset);
    const temporary = `${this.#path}.idx.${process.pid}`;
    try {
      writeFileSync(temporary, all.map(formatIndexLine).join(""), { mode: 0o600 });
      linkSync(temporary, `${this.#path}.idx`);
    } catch {
      // An index only saves time: without it the next reader scans again.
    } finally {
      removeIfThere(temporary);
    }
  }
}

function openIfThere(path: string): number | null {
  try {
    return openSync(path, "r");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It was never made.
  }
}

/** The last two numbers of an index line. */
function placeOf(text: string): Place | null {
  const last = text.lastIndexOf(" ");
  const before = text.lastIndexOf(" ", last - 1);
  const [offset, length] = [Number(text.slice(before + 1, last)), Number(text.slice(last + 1))];
  return before > 0 && Number.isSafeInteger(offset) && Number.isSafeInteger(length) ? { offset, length } : null;
}

/** What there is of `length` bytes. */
function readAt(file: number, offset: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let done = 0;
  while (done < length) {
    const got = readSync(file, bytes, done, length - done, offset + done);
    if (got === 0) break;
    done += got;
  }
  return bytes.subarray(0, done);
}

/** Whole lines of a file from an offset on; `end` is behind the newline. */
function* linesFrom(file: number, from: number): Generator<{ text: string; start: number; end: number }> {
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  let rest = Buffer.alloc(0);
  let start = from;
  for (let position = from; ; ) {
    const got = readSync(file, chunk, 0, CHUNK_BYTES, position);
    if (got === 0) return;
    position += got;
    rest = rest.length === 0 ? Buffer.from(chunk.subarray(0, got)) : Buffer.concat([rest, chunk.subarray(0, got)]);
    let used = 0;
    for (let at = rest.indexOf(NEWLINE); at !== -1; at = rest.indexOf(NEWLINE, used)) {
      yield { text: rest.toString("utf8", used, at), start: start + used, end: start + at + 1 };
      used = at + 1;
    }
    start += used;
    rest = rest.subarray(used);
  }
}
