import { Payload, PayloadReader } from "../light/frames.ts";

/**
 * The frozen files of a container as its agent streams them (agent-container.c): frames 'N' {u32 mode, u64 size, u64 mtime in
 * ns, u32 links, path, target} and 'D' {u64 offset, bytes}. Holes are not sent. Bytes are data here, never paths to open.
 */
export interface ArchiveEntry {
  /** Absolute path inside; its own bytes as latin1, since names need not be UTF-8. */
  readonly path: string;
  /** Type and permission bits, as stat tells them. */
  readonly mode: number;
  readonly size: number;
  /** Nanoseconds since the epoch. */
  readonly mtime: bigint;
  readonly links: number;
  /** Of a link, else empty. */
  readonly target: Uint8Array;
}

export type EntryType = "file" | "directory" | "symlink" | "other";

const TYPES: ReadonlyMap<number, EntryType> = new Map([
  [0o100_000, "file"],
  [0o040_000, "directory"],
  [0o120_000, "symlink"],
]);
export const MODE_OF_TYPE = { file: 0o100_000, directory: 0o040_000, symlink: 0o120_000 } as const;

export function typeOf(mode: number): EntryType {
  return TYPES.get(mode & 0o170_000) ?? "other";
}

/** A short payload throws a RangeError. */
export function readEntry(payload: Buffer): ArchiveEntry {
  const reader = new PayloadReader(payload);
  const mode = reader.u32();
  const size = reader.u64();
  const low = BigInt(reader.u32());
  const mtime = (BigInt(reader.u32()) << 32n) | low;
  const links = reader.u32();
  return { mode, size, mtime, links, path: reader.bytes().toString("latin1"), target: Uint8Array.from(reader.bytes()) };
}

export function entryPayload(entry: ArchiveEntry): Payload {
  const path = Buffer.from(entry.path, "latin1");
  const payload = new Payload().u32(entry.mode).u64(entry.size);
  payload.u32(Number(entry.mtime & 0xffff_ffffn)).u32(Number(entry.mtime >> 32n));
  payload.u32(entry.links).u32(path.length).bytes(path);
  return payload.u32(entry.target.length).bytes(entry.target);
}

/** A chunk of a file's content; a frame holds at most 64 KiB of it. */
export function readChunk(payload: Buffer): { readonly offset: number; readonly data: Buffer } {
  const offset = new PayloadReader(payload).u64();
  return { offset, data: payload.subarray(8) };
}

export function chunkPayload(offset: number, data: Uint8Array): Payload {
  return new Payload().u64(offset).bytes(data);
}
