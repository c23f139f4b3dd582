import { closeSync, fstatSync, linkSync, openSync, readSync, unlinkSync, writeFileSync } from "node:fs";
import { formatIndexLine, type IndexEntry, parseIndexLine, peekLine } from "./segment-line.ts";

const CHUNK_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;

/**
 * One segment as a reader sees it: an index in memory that follows what its writer adds. A torn line at the end, or bytes
 * that a crash of the machine left unwritten, are passed over. Reads are synchronous: they meet the page cache.
 */
export class SegmentFile {
  readonly #path: string;
  readonly #data: number;
  #index: number | null;
  readonly #entries = new Map<string, IndexEntry[]>();
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

  /** Lines of an episode that are wholly there, in the order in which they were written. */
  entries(episodeId: string): IndexEntry[] {
    return (this.#entries.get(episodeId) ?? []).filter((entry) => entry.offset + entry.length < this.#bytes);
  }

  episodes(): string[] {
    return [...this.#entries.keys()];
  }

  /** Bytes from `offset`. */
  read(offset: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    let done = 0;
    while (done < length) {
      const got = readSync(this.#data, bytes, done, length - done, offset + done);
      if (got === 0) break;
      done += got;
    }
    return bytes.subarray(0, done);
  }

  close(): void {
    closeSync(this.#data);
    if (this.#index !== null) closeSync(this.#index);
  }

  #readIndex(file: number): void {
    for (const { text, end } of linesFrom(file, this.#indexRead)) {
      this.#indexRead = end;
      const entry = parseIndexLine(text);
      // A crash of the machine may leave anything in an index; what it fails to name is found by the scan.
      if (entry === null || entry.offset !== this.#covered) continue;
      this.#add(entry);
    }
  }

  #scan(): number {
    let found = 0;
    for (const { text, start, end } of linesFrom(this.#data, this.#covered)) {
      const head = peekLine(text);
      if (head === null) break;
      this.#add({ ...head, offset: start, length: end - start - 1 });
      found++;
    }
    return found;
  }

  #add(entry: IndexEntry): void {
    const list = this.#entries.get(entry.episodeId);
    if (list === undefined) this.#entries.set(entry.episodeId, [entry]);
    else list.push(entry);
    this.#count++;
    this.#covered = entry.offset + entry.length + 1;
  }

  /** Writes the index that is missing, unless somebody else just did. */
  #keepIndex(): void {
    const all = [...this.#entries.values()].flat().sort((a, b) => a.offset - b.offset);
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
