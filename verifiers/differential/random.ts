/** Seeded draws: the same seed gives the same draws on every machine. */
export interface Random {
  /** 0 <= n < limit. */
  below(limit: number): number;
  /** True with probability `share`. */
  chance(share: number): boolean;
  /** One of a list that is not empty. */
  pick<T>(list: readonly [T, ...T[]]): T;
}

/** splitmix32 over both halves of a 53-bit seed. */
export function seededRandom(seed: number): Random {
  let state = ((seed % 0x1_0000_0000) ^ (Math.floor(seed / 0x1_0000_0000) * 0x9e3779b1)) >>> 0;
  const next = (): number => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 0x1_0000_0000;
  };
  const below = (limit: number) => Math.floor(next() * limit);
  return { below, chance: (share) => next() < share, pick: (list) => list[below(list.length)] ?? list[0] };
}
