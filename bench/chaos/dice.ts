import { createHash } from "node:crypto";

/** Seeded chance: the same seed and name draw the same numbers, in whatever order others draw theirs. */
export interface Dice {
  /** 0 ≤ number < `below`. */
  below(below: number): number;
  pick<T>(items: readonly T[]): T;
  /** True in about `share` of all cases. */
  chance(share: number): boolean;
  /** Dice of its own for a part of the work. */
  of(name: string): Dice;
}

const DRAW_BYTES = 6;

export function diceOf(seed: string): Dice {
  let drawn = 0;
  const draw = (): number => {
    const digest = createHash("sha256").update(`${seed} ${drawn++}`).digest();
    return digest.readUIntBE(0, DRAW_BYTES) / 2 ** (8 * DRAW_BYTES);
  };
  const below = (count: number): number => Math.floor(draw() * count);
  return {
    below,
    pick: (items) => {
      const item = items[below(items.length)];
      if (item === undefined) throw new RangeError("there is nothing to pick from");
      return item;
    },
    chance: (share) => draw() < share,
    of: (name) => diceOf(`${seed}/${name}`),
  };
}
