const PATHS = ["/", "/a", "/a/1", "/a/22", "/b?x=1", "/b", "/c/3/d", "/c/3/d/", "/C", "/00?1"];
const JUNK = ["", "stopped", "t GET a 200 1", "t GET /a 2000 1", "t GET /a 200 01", "t  GET /a 200 1"];

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
  const line = () =>
    next() < 0.12
      ? pick(JUNK)
      : `2024-05-01T12:00:03 ${pick(["GET", "GET", "PUT"])} ${pick(PATHS)} ${pick([200, 204, 404, 499, 500, 503])} ${Math.floor(next() * 40)}`;
  return Array.from({ length: count }, (_, number) => {
    const lines = Array.from({ length: 1 + Math.floor(next() * 25) }, line);
    const args = [
      ...(number % 3 === 1 ? ["--top", String(1 + Math.floor(next() * 4))] : []),
      ...(number % 4 === 2 ? ["--method", pick(["GET", "PUT", "POST"])] : []),
    ];
    return { args, stdin: `${lines.join("\n")}\n` };
  });
}
