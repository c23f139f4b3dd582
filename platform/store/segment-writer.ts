import { type FileHandle, mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { GymError } from "../../core/errors.ts";
import { formatIndexLine, type NewLine } from "./segment-line.ts";

/** A segment this large is left for the next one, so that an index stays quick to read. */
const SEGMENT_BYTES = 64 * 1024 * 1024;
/** Bytes written with one sync. */
const BATCH_BYTES = 8 * 1024 * 1024;
/** Bytes that may wait to be written; beyond it, append waits. */
const PENDING_BYTES = 64 * 1024 * 1024;

export interface SegmentWriterOptions {
  readonly dir: string;
  /** First part of the segments' names; one process writes under one. */
  readonly processId: string;
  /** Makes known that a segment holds lines of these episodes. Called before the first such line is written. */
  readonly register: (segment: string, episodeIds: readonly string[]) => Promise<void>;
  /** A segment that gets no more lines. */
  readonly seal: (segment: string) => Promise<void>;
}

interface Waiting {
  readonly lines: readonly NewLine[];
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: GymError) => void;
}

interface OpenSegment {
  readonly name: string;
  readonly data: FileHandle;
  readonly index: FileHandle;
  /** Durable bytes. */
  size: number;
  readonly episodes: Set<string>;
}

/**
 * Appends lines to this process's own segment. What comes while a batch is being written goes into the next one: one
 * fdatasync for all of them, and no timer. Of a batch the index is written first, so whoever sees a line finds it there.
 * A batch that fails is cut off again and its segment is left, so that nothing follows a torn line.
 */
export class SegmentWriter {
  readonly #options: SegmentWriterOptions;
  readonly #queue: Waiting[] = [];
  #pending = 0;
  #current: OpenSegment | null = null;
  #made = 0;
  #flushing: Promise<void> | null = null;
  #closed = false;

  constructor(options: SegmentWriterOptions) {
    this.#options = options;
  }

  /** Resolves when the lines are durable. Lines of one call stay together and in order. */
  async append(lines: readonly NewLine[]): Promise<void> {
    if (lines.length === 0) return;
    while (this.#pending > PENDING_BYTES) await this.#flushing;
    if (this.#closed) throw new GymError("store_failed", "the store is closed");
    const bytes = lines.reduce((sum, line) => sum + line.bytes.length, 0);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#queue.push({ lines, bytes, resolve, reject });
    this.#pending += bytes;
    this.#flushing ??= this.#flush();
    await promise;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#flushing;
    await this.#leaveSegment(true);
  }

  async #flush(): Promise<void> {
    // What is appended in the same turn of the event loop shares the first sync.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const batch = this.#takeBatch();
      try {
        await this.#write(batch);
        for (const waiting of batch) waiting.resolve();
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        await this.#leaveSegment(false);
        for (const waiting of batch)
          waiting.reject(
            new GymError("store_failed", `events were not written: ${message}`, { retryable: true, cause: error }),
          );
      }
    }
    this.#flushing = null;
  }

  #takeBatch(): Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const waiting of this.#queue) {
      if (count > 0 && bytes + waiting.bytes > BATCH_BYTES) break;
      bytes += waiting.bytes;
      count++;
    }
    this.#pending -= bytes;
    return this.#queue.splice(0, count);
  }

  async #write(batch: readonly Waiting[]): Promise<void> {
    const segment = await this.#segment();
    const lines = batch.flatMap((waiting) => waiting.lines);
    const fresh = new Set(lines.map((line) => line.episodeId).filter((id) => !segment.episodes.has(id)));
    if (fresh.size > 0) await this.#options.register(segment.name, [...fresh]);
    for (const id of fresh) segment.episodes.add(id);
    let offset = segment.size;
    let index = "";
    for (const { head, bytes } of lines) {
      index += formatIndexLine({ ...head, offset, length: bytes.length - 1 });
      offset += bytes.length;
    }
    await writeAll(segment.index, Buffer.from(index), null);
    await writeAll(segment.data, Buffer.concat(lines.map((line) => line.bytes)), segment.size);
    await segment.data.datasync();
    segment.size = offset;
  }

  async #segment(): Promise<OpenSegment> {
    if (this.#current !== null && this.#current.size >= SEGMENT_BYTES) await this.#leaveSegment(true);
    this.#current ??= await this.#create();
    return this.#current;
  }

  async #create(): Promise<OpenSegment> {
    await mkdir(this.#options.dir, { recursive: true });
    for (;;) {
      const name = `${this.#options.processId}-${String(++this.#made).padStart(6, "0")}`;
      const path = join(this.#options.dir, name);
      // The index comes first: a reader that finds a segment without one makes it itself.
      const index = await openNew(`${path}.idx`);
      if (index === null) continue;
      const data = await openNew(`${path}.jsonl`);
      if (data === null) {
        await index.close();
        continue;
      }
      await syncFolder(this.#options.dir);
      return { name, data, index, size: 0, episodes: new Set() };
    }
  }

  async #leaveSegment(whole: boolean): Promise<void> {
    const segment = this.#current;
    this.#current = null;
    if (segment === null) return;
    try {
      if (whole) await this.#options.seal(segment.name);
      else await segment.data.truncate(segment.size);
    } catch {
      // A torn end is never followed by a line, and readers pass over it; an unsealed segment is only looked at once more.
    }
    await Promise.allSettled([segment.data.close(), segment.index.close()]);
  }
}

/** Null when the name is taken. */
async function openNew(path: string): Promise<FileHandle | null> {
  try {
    return await open(path, "wx", 0o600);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return null;
    throw error;
  }
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number | null): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(
      bytes,
      done,
      bytes.length - done,
      position === null ? null : position + done,
    );
    done += bytesWritten;
  }
}

export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
