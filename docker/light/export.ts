import { GymError } from "../../core/errors.ts";
import { sha256 } from "../../core/ids.ts";
import type { ExportOptions, FileResult, ManifestEntry, Submission } from "../../core/sandbox.ts";
import { type TarEntry, writeTar } from "../canonical-tar.ts";
import type { AgentConnection } from "./agent-connection.ts";
import { readEnd } from "./files.ts";
import { type Frame, Payload, PayloadReader } from "./frames.ts";

const TYPES = ["file", "directory", "symlink", "other"] as const;
/** Longer names buy nothing and break other tools. */
const MAX_PATH = 1024;
const strict = new TextDecoder("utf-8", { fatal: true });

interface Collected {
  readonly manifest: ManifestEntry[];
  readonly entries: TarEntry[];
  readonly refused: { readonly path: string; readonly reason: string }[];
}

/** What is wrong with a name, or null. The exporter runs over hostile files: nothing that it tells is taken on trust. */
function nameProblem(raw: Uint8Array): string | null {
  let name: string;
  try {
    name = strict.decode(raw);
  } catch {
    return "the name is not UTF-8";
  }
  if (raw.length === 0 || raw.length > MAX_PATH) return `the path is longer than ${MAX_PATH} bytes`;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this looks for
  if (/[\u0000-\u001f\u007f]/.test(name)) return "the name holds a control character";
  if (name.split("/").some((part) => part === "" || part === "." || part === "..")) return "the path is not canonical";
  return null;
}

/** Turns the exporter's frames into a manifest and the entries of a tar. */
export class SubmissionCollector {
  readonly #out: Collected = { manifest: [], entries: [], refused: [] };
  readonly #maxBytes: number;
  #bytes = 0;
  #file: { path: string; mode: number; size: number; chunks: Uint8Array[]; have: number; kept: boolean } | null = null;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  frame(frame: Frame): void {
    if (frame.type === "D") this.#content(frame.payload);
    else this.#entry(frame);
  }

  #entry(frame: Frame): void {
    const reader = new PayloadReader(frame.payload);
    const type = TYPES[reader.u8()] ?? "other";
    const mode = reader.u32();
    const size = reader.u64();
    const links = reader.u32();
    const raw = reader.bytes();
    const target = reader.bytes();
    const path = raw.toString();
    const problem = nameProblem(raw);
    if (problem) this.#out.refused.push({ path, reason: problem });
    if (frame.type === "Q") {
      if (!problem) this.#out.manifest.push({ path, type: "deleted", mode: 0, size: 0, sha256: null });
      return;
    }
    if (type === "file") this.#startFile(path, mode, size, links, problem === null);
    else if (problem) return;
    else if (type === "other") this.#out.refused.push({ path, reason: "not a file, folder or link" });
    else if (type === "symlink") this.#link(path, target);
    else this.#folder(path, mode);
  }

  result(root: string): Submission {
    if (this.#file) throw new GymError("sandbox_lost", "the exporter ended in the middle of a file");
    const byPath = (a: { path: string }, b: { path: string }): number =>
      Buffer.compare(Buffer.from(a.path), Buffer.from(b.path));
    const { manifest, entries, refused } = this.#out;
    return {
      root,
      manifest: manifest.sort(byPath),
      tar: writeTar(entries.sort(byPath)),
      refused: refused.sort(byPath),
    };
  }

  #startFile(path: string, mode: number, size: number, links: number, kept: boolean): void {
    if (this.#file) throw new GymError("sandbox_lost", "the exporter sent a file inside a file");
    this.#bytes += size;
    if (this.#bytes > this.#maxBytes) throw new GymError("sandbox_lost", "the exporter sent more than was asked for");
    if (kept && mode & 0o7000) this.#out.refused.push({ path, reason: "set-user-id and similar bits were removed" });
    if (kept && links > 1) this.#out.refused.push({ path, reason: "a hard link was made a copy" });
    this.#file = { path, mode: mode & 0o777, size, chunks: [], have: 0, kept };
    this.#finishFile();
  }

  #content(chunk: Buffer): void {
    if (!this.#file) throw new GymError("sandbox_lost", "the exporter sent content of no file");
    this.#file.chunks.push(chunk);
    this.#file.have += chunk.length;
    if (this.#file.have > this.#file.size) throw new GymError("sandbox_lost", "the exporter sent too much content");
    this.#finishFile();
  }

  #finishFile(): void {
    const file = this.#file;
    if (!file || file.have < file.size) return;
    this.#file = null;
    if (!file.kept) return;
    const { path, mode, size } = file;
    const data = Buffer.concat(file.chunks);
    this.#out.manifest.push({ path, type: "file", mode, size, sha256: sha256(data) });
    this.#out.entries.push({ type: "file", path, mode, data });
  }

  #folder(path: string, mode: number): void {
    if (mode & 0o7000) this.#out.refused.push({ path, reason: "set-user-id and similar bits were removed" });
    this.#out.manifest.push({ path, type: "directory", mode: mode & 0o777, size: 0, sha256: null });
    this.#out.entries.push({ type: "directory", path, mode: mode & 0o777 });
  }

  #link(path: string, target: Buffer): void {
    if (target.length === 0 || target.length > MAX_PATH || !isText(target)) {
      this.#out.refused.push({ path, reason: "the link's target is not a usable path" });
      return;
    }
    this.#out.manifest.push({ path, type: "symlink", mode: 0o777, size: 0, sha256: sha256(target) });
    this.#out.entries.push({ type: "symlink", path, target: target.toString() });
  }
}

function isText(bytes: Uint8Array): boolean {
  try {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this looks for
    return !/[\u0000-\u001f\u007f]/.test(strict.decode(bytes));
  } catch {
    return false;
  }
}

/** Asks the exporter that listens at `socket` for what differs below `inside` (relative to its mount). */
export async function runExport(
  connection: AgentConnection,
  inside: string,
  options: ExportOptions,
): Promise<FileResult<Submission>> {
  const collector = new SubmissionCollector(options.maxBytes);
  const { promise, resolve, reject } = Promise.withResolvers<FileResult<Submission>>();
  const id = connection.register({
    frame: (frame) => {
      try {
        if (frame.type !== "Z") return collector.frame(frame);
        const end = readEnd(frame.payload, options.root);
        resolve(end.ok ? { ok: true, value: collector.result(options.root) } : end);
      } catch (error) {
        reject(error);
      }
    },
    fail: reject,
  });
  connection.send(new Payload().text(inside).u64(options.maxBytes).u32(options.maxEntries).frame(id, "Y"));
  return await promise;
}
