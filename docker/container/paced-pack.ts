import { Readable } from "node:stream";
import { type Pack, pack } from "tar-stream";
import type { TarEntry } from "./tar-entries.ts";

/** Bytes of a tar that may wait to be read. */
const MOST_AHEAD = 1024 * 1024;

export type TarHeader = Parameters<Pack["entry"]>[0];

/** A tar that is written no faster than it is read: tar-stream waits with the content of files, not with entries that have none. */
export class PacedPack {
  readonly #pack: Pack = pack();
  /** Bytes written and not yet read. */
  #ahead = 0;
  #isOver = false;
  #moved = Promise.withResolvers<void>();
  /** The tar itself. */
  readonly body: Readable;

  constructor() {
    const push = this.#pack.push.bind(this.#pack);
    this.#pack.push = (chunk: Buffer | null) => {
      this.#ahead += chunk?.length ?? 0;
      return push(chunk);
    };
    this.body = Readable.from(this.#chunks());
  }

  /** Resolves when there is room for the next one. After {@link destroy} it fails. */
  async add(header: TarHeader, content: TarEntry | null = null): Promise<void> {
    const { promise: written, resolve, reject } = Promise.withResolvers<void>();
    const entry = this.#pack.entry(header, (error) => (error ? reject(error) : resolve()));
    content?.pipe(entry);
    await written;
    while (this.#ahead > MOST_AHEAD && !this.#isOver) await this.#moved.promise;
  }

  finish(): void {
    this.#pack.finalize();
  }

  /** Whoever writes and whoever reads is let go. Idempotent. */
  destroy(): void {
    this.body.destroy();
    this.#pack.destroy();
    this.#isOver = true;
    this.#moved.resolve();
  }

  async *#chunks(): AsyncGenerator<Buffer, void> {
    for await (const chunk of this.#pack as AsyncIterable<Buffer>) {
      this.#ahead -= chunk.length;
      this.#moved.resolve();
      this.#moved = Promise.withResolvers<void>();
      yield chunk;
    }
  }
}
