/** Splits what a process writes on its channel into lines, within a bound. */
export class ChannelLines {
  readonly #onLine: (line: string) => void;
  readonly #onOverflow: () => void;
  readonly #maxLineBytes: number;
  #parts: Uint8Array[] = [];
  #bytes = 0;

  constructor(options: { maxLineBytes: number; onLine: (line: string) => void; onOverflow: () => void }) {
    this.#maxLineBytes = options.maxLineBytes;
    this.#onLine = options.onLine;
    this.#onOverflow = options.onOverflow;
  }

  push(chunk: Uint8Array): void {
    let rest = chunk;
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      this.#keep(rest.subarray(0, end));
      const line = Buffer.concat(this.#parts).toString("utf8");
      this.#parts = [];
      this.#bytes = 0;
      this.#onLine(line);
      rest = rest.subarray(end + 1);
    }
    this.#keep(rest);
  }

  /** True when a line was begun and not ended. */
  get torn(): boolean {
    return this.#bytes > 0;
  }

  #keep(part: Uint8Array): void {
    if (part.length === 0) return;
    this.#bytes += part.length;
    if (this.#bytes > this.#maxLineBytes) {
      this.#parts = [];
      this.#onOverflow();
    } else this.#parts.push(part.slice());
  }
}
