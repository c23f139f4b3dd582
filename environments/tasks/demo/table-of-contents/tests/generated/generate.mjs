const TITLES = ["Set up", "Set up", "set-up", "API [v2]", "C#", "C #", "Was ist neu?", "a_b", "##", "1.2 Änderung", "x  y", "`code` & more"];

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
  const line = () => {
    const roll = next();
    if (roll < 0.14) return pick(["```", "````", "~~~", "~~~~ ", "```js", " ```"]);
    if (roll < 0.24) return pick(["", "text", "#tag", "    # code", "#######  seven"]);
    return `${pick(["", "", "", " ", "   "])}${"#".repeat(1 + Math.floor(next() * 6))}${pick([" ", " ", "  ", "\t"])}${pick(TITLES)}${pick(["", "", " #", "###", "  ## "])}`;
  };
  return Array.from({ length: count }, (_, number) => ({
    args: number % 4 === 3 ? [pick(["--min", "--max"]), String(1 + Math.floor(next() * 6))] : [],
    stdin: `${Array.from({ length: 2 + Math.floor(next() * 16) }, line).join("\n")}\n`,
  }));
}
