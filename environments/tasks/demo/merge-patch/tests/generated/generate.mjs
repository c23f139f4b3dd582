/** mulberry32: small, fast and the same everywhere. */
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export function generate(seed, count) {
  const next = random(seed);
  const pick = (list) => list[Math.floor(next() * list.length)];
  const scalar = (nulls) => (next() < nulls ? null : pick([0, 1, 2, "", "x", true, false]));
  const value = (depth, nulls) => {
    const roll = next();
    if (depth === 0 || roll < 0.35) return scalar(nulls);
    if (roll < 0.5) return Array.from({ length: Math.floor(next() * 3) }, () => value(depth - 1, 0.2));
    return object(depth, nulls);
  };
  const object = (depth, nulls) =>
    Object.fromEntries(["a", "b", "c", "toString"].filter(() => next() < 0.6).map((name) => [name, value(depth - 1, nulls)]));
  const changed = (from, nulls) => {
    if (next() < 0.3 || typeof from !== "object" || from === null || Array.isArray(from)) return value(2, nulls);
    const entries = Object.entries(from).filter(() => next() < 0.8);
    return Object.fromEntries([...entries.map(([name, part]) => [name, next() < 0.5 ? part : changed(part, nulls)]), ["d", value(1, nulls)]]);
  };
  return Array.from({ length: count }, (_, number) => {
    const from = next() < 0.9 ? object(3, 0.05) : value(2, 0.2);
    if (number % 2 === 0) return { function: "apply", args: [from, next() < 0.9 ? object(3, 0.3) : value(2, 0.3)] };
    return { function: "diff", args: [from, changed(from, number % 8 === 1 ? 0.15 : 0)] };
  });
}
