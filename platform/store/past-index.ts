/** Bytes of an index file that hold lines of an episode, among others'. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** Numbers per entry: hash of the episode's id, first byte, byte behind the last. */
const WIDTH = 3;
const FEWEST = 1_024;
const MOST_FULL = 0.6;
/** No hash of ours. */
const EMPTY = -1;

/**
 * Where in an index file the lines of past episodes are: 40 to 80 bytes for each, whatever its id. Ids are told apart by a hash
 * alone, so a span may be another episode's; who reads it looks at the ids there.
 */
export class PastIndex {
  #slots = FEWEST;
  #table = new Float64Array(FEWEST * WIDTH).fill(EMPTY);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(id: string, { from, to }: Span): void {
    if (this.#size >= this.#slots * MOST_FULL) this.#grow();
    this.#put(hashOf(id), from, to);
    this.#size++;
  }

  /** Takes a line that ends at `end` into a span of this id that then has at most `most` bytes. False when there is none. */
  extend(id: string, end: number, most: number): boolean {
    for (const at of this.#places(hashOf(id))) {
      if (end - (this.#table[at + 1] ?? 0) > most) continue;
      this.#table[at + 2] = end;
      return true;
    }
    return false;
  }

  spans(id: string): Span[] {
    return this.#places(hashOf(id)).map((at) => ({ from: this.#table[at + 1] ?? 0, to: this.#table[at + 2] ?? 0 }));
  }

  #places(hash: number): number[] {
    const found: number[] = [];
    for (let slot = hash % this.#slots; ; slot = (slot + 1) % this.#slots) {
      const known = this.#table[slot * WIDTH];
      if (known === EMPTY) return found;
      if (known === hash) found.push(slot * WIDTH);
    }
  }

  #put(hash: number, from: number, to: number): void {
    let slot = hash % this.#slots;
    while (this.#table[slot * WIDTH] !== EMPTY) slot = (slot + 1) % this.#slots;
    this.#table.set([hash, from, to], slot * WIDTH);
  }

  #grow(): void {
    const old = this.#table;
    this.#slots *= 2;
    this.#table = new Float64Array(this.#slots * WIDTH).fill(EMPTY);
    for (let at = 0; at < old.length; at += WIDTH) {
      const [hash = EMPTY, from = 0, to = 0] = old.subarray(at, at + WIDTH);
      if (hash !== EMPTY) this.#put(hash, from, to);
    }
  }
}

/** FNV-1a, 32 bits. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}
