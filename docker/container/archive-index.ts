import { createHash, type Hash } from "node:crypto";
import { type ArchiveEntry, readChunk, readEntry, typeOf } from "./archive-format.ts";

/** Larger files are told apart by their parts: filling a terabyte of hole with zeros would take an hour. */
const HASH_HOLES_BELOW = 64 * 1024 * 1024;
const zeros = Buffer.alloc(64 * 1024);

export interface IndexedEntry extends ArchiveEntry {
  /** Of a file's content; null for all else. Two files of one digest are the same. */
  readonly digest: string | null;
  /** Where the frames of the content begin in the archive. */
  readonly at: number;
}

/** What an archive holds, by path. */
export type ArchiveIndex = ReadonlyMap<string, IndexedEntry>;

/** Follows the frames of an archive as they come, and answers its index. */
export class ArchiveIndexer {
  readonly #entries = new Map<string, IndexedEntry>();
  #open: { readonly entry: ArchiveEntry; readonly hash: Hash; readonly at: number; have: number } | null = null;

  /** `end` is the position behind the frame in the archive. */
  frame(type: string, payload: Buffer, end: number): void {
    if (type === "N") this.#begin(readEntry(payload), end);
    else this.#content(payload);
  }

  /** What the frames so far have at a path; null: nothing. The last file is then taken to be complete. */
  find(path: string): IndexedEntry | null {
    this.#close();
    return this.#entries.get(path) ?? null;
  }

  finish(): ArchiveIndex {
    this.#close();
    return this.#entries;
  }

  #begin(entry: ArchiveEntry, at: number): void {
    this.#close();
    if (typeOf(entry.mode) === "file") this.#open = { entry, hash: createHash("sha256"), at, have: 0 };
    else this.#entries.set(entry.path, { ...entry, digest: null, at });
  }

  #content(payload: Buffer): void {
    const open = this.#open;
    const { offset, data } = readChunk(payload);
    if (!open || offset < open.have || offset + data.length > open.entry.size)
      throw new RangeError("content outside of a file in an archive");
    if (open.entry.size > HASH_HOLES_BELOW) open.hash.update(`${offset}+${data.length}:`);
    else fill(open.hash, offset - open.have);
    open.hash.update(data);
    open.have = offset + data.length;
  }

  #close(): void {
    const open = this.#open;
    this.#open = null;
    if (!open) return;
    if (open.entry.size <= HASH_HOLES_BELOW) fill(open.hash, open.entry.size - open.have);
    this.#entries.set(open.entry.path, { ...open.entry, digest: open.hash.digest("hex"), at: open.at });
  }
}

function fill(hash: Hash, bytes: number): void {
  for (let left = bytes; left > 0; left -= zeros.length) hash.update(zeros.subarray(0, Math.min(left, zeros.length)));
}
