import { closeSync, fstatSync, openSync, readdirSync, readSync } from "node:fs";
import { join } from "node:path";

const LOOK_EVERY_MS = 2;

/** Where a line was seen: the process that wrote it, and its text. */
export interface Seen {
  readonly processId: string;
  readonly line: string;
}

/** Watches the segments of a store for lines that are written from now on, in the moment in which they are. */
export class LogTail implements Disposable {
  readonly #dir: string;
  readonly #files = new Map<string, { fd: number; read: number; rest: string }>();
  #ended = false;

  constructor(home: string) {
    this.#dir = join(home, "store", "segments");
    for (const _ of this.#fresh()) {
      // What is there already is not news.
    }
  }

  /** The first new line that `wanted` accepts; null when none came in time. */
  async next(wanted: (line: string) => boolean, deadlineMs: number): Promise<Seen | null> {
    const deadline = performance.now() + deadlineMs;
    while (!this.#ended && performance.now() < deadline) {
      for (const seen of this.#fresh()) if (wanted(seen.line)) return seen;
      await new Promise((done) => setTimeout(done, LOOK_EVERY_MS));
    }
    return null;
  }

  #fresh(): Seen[] {
    const found: Seen[] = [];
    for (const name of segments(this.#dir)) {
      const file = this.#files.get(name) ?? { fd: openSync(join(this.#dir, name), "r"), read: 0, rest: "" };
      this.#files.set(name, file);
      const size = fstatSync(file.fd).size;
      if (size <= file.read) continue;
      const bytes = Buffer.alloc(size - file.read);
      file.read += readSync(file.fd, bytes, 0, bytes.length, file.read);
      const lines = (file.rest + bytes.toString("utf8")).split("\n");
      file.rest = lines.pop() ?? "";
      const processId = name.replace(/-\d+\.jsonl$/, "");
      for (const line of lines) found.push({ processId, line });
    }
    return found;
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    for (const { fd } of this.#files.values()) closeSync(fd);
    this.#files.clear();
  }
}

function segments(dir: string): string[] {
  try {
    return readdirSync(dir).filter((name) => name.endsWith(".jsonl"));
  } catch {
    return []; // before the first process has opened the store
  }
}
