/** Keeps the first and the last half of a stream within a bound and counts all of it. */
export class OutputKeeper {
  readonly #headRoom: number;
  readonly #tailRoom: number;
  readonly #head: Uint8Array[] = [];
  #headLength = 0;
  #tail: Uint8Array[] = [];
  #tailLength = 0;
  total = 0;

  constructor(maxBytes: number) {
    this.#headRoom = Math.floor(maxBytes / 2);
    this.#tailRoom = maxBytes - this.#headRoom;
  }

  push(chunk: Uint8Array): void {
    this.total += chunk.length;
    const direct = Math.min(chunk.length, this.#headRoom - this.#headLength);
    if (direct > 0) this.#head.push(chunk.subarray(0, direct));
    this.#headLength += direct;
    if (direct === chunk.length) return;
    this.#tail.push(chunk.subarray(direct));
    this.#tailLength += chunk.length - direct;
    // Cut in batches: cutting at every chunk would copy the tail each time.
    if (this.#tailLength > 2 * this.#tailRoom + 65_536) this.#cutTail();
  }

  bytes(): Uint8Array {
    this.#cutTail();
    return Buffer.concat([...this.#head, ...this.#tail]);
  }

  #cutTail(): void {
    if (this.#tailLength <= this.#tailRoom) return;
    const whole = Buffer.concat(this.#tail);
    const kept = Buffer.from(whole.subarray(whole.length - this.#tailRoom));
    this.#tail = [kept];
    this.#tailLength = kept.length;
  }
}
