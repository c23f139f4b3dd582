import { type DirectoryEntry, FILE_ERRORS, type FileResult, type FileStat } from "../../core/sandbox.ts";
import type { AgentConnection } from "./agent-connection.ts";
import { type Frame, Payload, PayloadReader } from "./frames.ts";

/** Bytes of content in one frame; below the agent's bound, and small enough to share the connection fairly. */
const PIECE = 1024 * 1024;
const KEEP_MODE = 0xffffffff;
const TYPES = ["file", "directory", "symlink", "other"] as const;

type Ended = { readonly ok: true } | Extract<FileResult<never>, { ok: false }>;

/** File operations, all done by the agent inside (agent-files.c). */
export class SandboxFiles {
  readonly #connection: AgentConnection;

  constructor(connection: AgentConnection) {
    this.#connection = connection;
  }

  async read(path: string, maxBytes: number): Promise<FileResult<Uint8Array>> {
    const chunks: Uint8Array[] = [];
    const ended = await this.#ask("G", path, (payload) => payload.u64(maxBytes), {
      D: (payload) => chunks.push(payload),
    });
    return ended.ok ? { ok: true, value: Buffer.concat(chunks) } : ended;
  }

  async write(path: string, data: Uint8Array, mode: number | undefined): Promise<FileResult<void>> {
    for (let at = 0; at === 0 || at < data.length; at += PIECE) {
      const piece = data.subarray(at, at + PIECE);
      const ended = await this.#ask(
        "W",
        path,
        (payload) =>
          payload
            .u32(mode ?? KEEP_MODE)
            .u64(data.length)
            .u64(at)
            .bytes(piece),
        {},
      );
      if (!ended.ok) return ended;
      await this.#connection.drained();
    }
    return { ok: true, value: undefined };
  }

  async list(path: string, depth: number, maxEntries: number): Promise<FileResult<DirectoryEntry[]>> {
    const entries: DirectoryEntry[] = [];
    const ended = await this.#ask("L", path, (payload) => payload.u32(depth).u32(maxEntries), {
      N: (payload) => {
        const reader = new PayloadReader(payload);
        const stat = readStat(reader);
        const rawPath = Uint8Array.from(reader.bytes());
        entries.push({ ...stat, path: Buffer.from(rawPath).toString(), rawPath });
      },
    });
    if (!ended.ok) return ended;
    return { ok: true, value: entries.sort((a, b) => Buffer.compare(a.rawPath, b.rawPath)) };
  }

  async stat(path: string): Promise<FileResult<FileStat>> {
    let stat: FileStat | undefined;
    const ended = await this.#ask("T", path, (payload) => payload, {
      T: (payload) => {
        stat = readStat(new PayloadReader(payload));
      },
    });
    if (!ended.ok) return ended;
    return stat ? { ok: true, value: stat } : { ok: false, error: "other", message: "no answer" };
  }

  async remove(path: string): Promise<FileResult<void>> {
    const ended = await this.#ask("U", path, (payload) => payload, {});
    return ended.ok ? { ok: true, value: undefined } : ended;
  }

  async #ask(
    type: string,
    path: string,
    more: (payload: Payload) => Payload,
    handlers: Readonly<Record<string, (payload: Buffer) => void>>,
  ): Promise<Ended> {
    if (path.includes("\0") || path.length === 0 || Buffer.byteLength(path) > 4_000)
      return { ok: false, error: "invalid_path", message: "a path has 1 to 4000 bytes and no NUL" };
    const { promise, resolve, reject } = Promise.withResolvers<Ended>();
    const id = this.#connection.register({
      frame: (frame: Frame) => {
        if (frame.type !== "Z") return handlers[frame.type]?.(frame.payload);
        this.#connection.unregister(id);
        resolve(readEnd(frame.payload, path));
      },
      fail: reject,
    });
    this.#connection.send(more(new Payload().text(path)).frame(id, type));
    return await promise;
  }
}

function readStat(reader: PayloadReader): FileStat {
  const type = TYPES[reader.u8()] ?? "other";
  const mode = reader.u32();
  return { type, size: reader.u64(), mode };
}

/** The end of a file request: u8 failed, u8 code, text. */
export function readEnd(payload: Buffer, path: string): Ended {
  const reader = new PayloadReader(payload);
  const failed = reader.u8() === 1;
  const error = FILE_ERRORS[reader.u8()] ?? "other";
  return failed ? { ok: false, error, message: `${path}: ${reader.bytes().toString()}` } : { ok: true };
}
