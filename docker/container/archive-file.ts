import { closeSync, openSync, writeSync } from "node:fs";
import { open, rm } from "node:fs/promises";
import { GymError } from "../../core/errors.ts";
import type { AgentConnection } from "../light/agent-connection.ts";
import { readEnd } from "../light/files.ts";
import { type Frame, FrameParser, Payload } from "../light/frames.ts";
import { readChunk } from "./archive-format.ts";
import { type ArchiveIndex, ArchiveIndexer, type IndexedEntry } from "./archive-index.ts";

const READ_PIECE = 1024 * 1024;
/** For a small file, and what frames add to it. */
const SMALL_PIECE = 4096;
/** Bytes that are gathered before they are written: one system call for many small files. */
const WRITE_PIECE = 1024 * 1024;

/** A frozen state on this machine's disk: a file of frames (archive-format.ts) and its index. */
export interface ArchiveFile {
  readonly path: string;
  readonly bytes: number;
  readonly index: ArchiveIndex;
}

/** Writes frames to a file and keeps its index. */
export class ArchiveWriter {
  readonly #path: string;
  readonly #maxBytes: number;
  readonly #fd: number;
  readonly #indexer = new ArchiveIndexer();
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #bytes = 0;

  constructor(path: string, maxBytes: number) {
    this.#path = path;
    this.#maxBytes = maxBytes;
    this.#fd = openSync(path, "wx", 0o600);
  }

  frame(type: string, payload: Buffer): void {
    const frame = new Payload().bytes(payload).frame(0, type);
    this.#bytes += frame.length;
    if (this.#bytes > this.#maxBytes)
      throw new GymError("sandbox_unavailable", `a frozen state has more than ${this.#maxBytes} bytes`);
    this.#indexer.frame(type, payload, this.#bytes);
    this.#waiting.push(frame);
    this.#waitingBytes += frame.length;
    if (this.#waitingBytes >= WRITE_PIECE) this.#flush();
  }

  /** What was written at a path of the archive; null when nothing was. */
  find(path: string): IndexedEntry | null {
    return this.#indexer.find(path);
  }

  /** The frames of content of a file that was written before. More may be written meanwhile. */
  async *content(entry: IndexedEntry): AsyncGenerator<Buffer, void> {
    this.#flush();
    const file = { path: this.#path, bytes: this.#bytes };
    for await (const { type, payload } of archiveFrames(
      file,
      entry.at,
      Math.min(READ_PIECE, entry.size + SMALL_PIECE),
    )) {
      if (type !== "D") return;
      yield payload;
    }
  }

  finish(): ArchiveFile {
    this.#flush();
    closeSync(this.#fd);
    return { path: this.#path, bytes: this.#bytes, index: this.#indexer.finish() };
  }

  async abandon(): Promise<void> {
    closeSync(this.#fd);
    await rm(this.#path, { force: true });
  }

  #flush(): void {
    const data = Buffer.concat(this.#waiting);
    for (let at = 0; at < data.length; ) at += writeSync(this.#fd, data, at);
    this.#waiting = [];
    this.#waitingBytes = 0;
  }
}

/** Has the agent kill everything and stream the files below `roots` into a new file at `path`. */
export async function freezeInto(
  connection: AgentConnection,
  roots: readonly string[],
  writer: ArchiveWriter,
): Promise<ArchiveFile> {
  const done = Promise.withResolvers<void>();
  const onFrame = (frame: Frame): void => {
    if (frame.type === "N" || frame.type === "D") {
      writer.frame(frame.type, frame.payload);
      return;
    }
    const end =
      frame.type === "Z" ? readEnd(frame.payload, "freeze") : { ok: false, message: frame.payload.toString() };
    if (end.ok) done.resolve();
    else
      done.reject(
        new GymError("sandbox_unavailable", `the sandbox could not be frozen: ${"message" in end ? end.message : ""}`),
      );
  };
  const guarded = (frame: Frame): void => {
    try {
      onFrame(frame);
    } catch (error) {
      done.reject(error);
    }
  };
  try {
    const id = connection.register({ frame: guarded, fail: done.reject });
    connection.send(new Payload().strings(roots).frame(id, "F"));
    await done.promise;
    return writer.finish();
  } catch (error) {
    await writer.abandon();
    throw error;
  }
}

/** Sends an archive to a fresh agent, which unpacks it inside. */
export async function restoreFrom(connection: AgentConnection, archive: ArchiveFile): Promise<void> {
  const done = Promise.withResolvers<void>();
  const id = connection.register({
    frame: (frame) => {
      connection.unregister(id);
      const end =
        frame.type === "Z" ? readEnd(frame.payload, "restore") : { ok: false, message: frame.payload.toString() };
      if (end.ok) done.resolve();
      else
        done.reject(
          new GymError(
            "sandbox_unavailable",
            `a frozen state could not be restored: ${"message" in end ? end.message : ""}`,
          ),
        );
    },
    fail: done.reject,
  });
  done.promise.catch(() => undefined); // awaited below, after the last frame is sent
  for await (const frame of archiveFrames(archive, 0)) {
    const type = frame.type === "N" ? "V" : "v";
    if (!connection.send(new Payload().bytes(frame.payload).frame(id, type))) await connection.drained();
  }
  connection.send(new Payload().frame(id, "w"));
  await done.promise;
}

/** The content of one file, holes filled. The caller bounds its size. */
export async function readContent(archive: ArchiveFile, entry: IndexedEntry): Promise<Buffer> {
  const content = Buffer.alloc(entry.size);
  for await (const frame of archiveFrames(archive, entry.at)) {
    if (frame.type !== "D") break;
    const { offset, data } = readChunk(frame.payload);
    data.copy(content, offset);
  }
  return content;
}

async function* archiveFrames(
  archive: Pick<ArchiveFile, "path" | "bytes">,
  from: number,
  pieceBytes = READ_PIECE,
): AsyncGenerator<Frame> {
  await using file = await open(archive.path, "r");
  const parser = new FrameParser();
  for (let at = from; at < archive.bytes; ) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(pieceBytes), 0, pieceBytes, at);
    if (bytesRead === 0) throw new GymError("sandbox_lost", `the frozen state at ${archive.path} was cut short`);
    at += bytesRead;
    const frames: Frame[] = [];
    parser.push(buffer.subarray(0, bytesRead), (frame) => frames.push(frame));
    yield* frames;
  }
}
