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
  const below = (limit) => Math.floor(next() * limit);
  return Array.from({ length: count }, (_, number) => {
    const first = Date.UTC(2001 + below(97), below(12), 1 + below(28));
    const span = [9, 30, 120, 800][below(4)];
    const names = Array.from({ length: 3 + below(18) }, () => {
      const date = new Date(first + below(span) * 86_400_000).toISOString().slice(0, 10);
      return `db-${date}.tar`;
    });
    if (number % 7 === 6) names.splice(below(names.length), 0, ["db-2023-04-31.tar", "db-2024-00-10.tar", "db.tar"][below(3)]);
    return { args: [below(5), below(5), below(4)].map(String), stdin: `${names.join("\n")}\n` };
  });
}
