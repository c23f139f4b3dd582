const WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

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
  const date = (span) => new Date(Date.UTC(2023, 10, 20 + below(span))).toISOString().slice(0, 10);
  const rule = () => {
    const made = { start: date(130), every: ["day", "week", "week", "month"][below(4)] };
    if (below(2) === 0) made.step = 1 + below(5);
    if (made.every === "week" && below(3) > 0) made.weekdays = WEEKDAYS.filter(() => below(3) === 0);
    if (made.weekdays?.length === 0 && below(4) > 0) made.weekdays = ["sun"];
    if (below(3) === 0) made.until = date(260);
    if (below(3) === 0) made.count = 1 + below(12);
    if (below(3) === 0) made.except = [date(160), made.start];
    if (below(25) === 0) made.step = 0;
    if (below(25) === 0) made.start = "2023-11-31";
    return made;
  };
  return Array.from({ length: count }, (_, number) => {
    const from = date(120);
    const to = date(400);
    if (number % 4 !== 3) return { function: "occurrences", args: [rule(), from, to] };
    const events = Array.from({ length: 1 + below(4) }, (_unused, index) => ({ name: `event ${index}`, rule: rule() }));
    return { function: "clashes", args: [events, from, to] };
  });
}
