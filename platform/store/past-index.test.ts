import { expect, test } from "vitest";
import { PastIndex } from "./past-index.ts";

/** Two texts of one 32-bit FNV-1a hash. */
const COLLIDING = ["costarring", "liquid"] as const;

test("keeps the places of many episodes, each under its own id", () => {
  const index = new PastIndex();
  const ids = Array.from({ length: 20_000 }, (_, n) => `ep_${n}`);
  for (const [n, id] of ids.entries()) index.add(id, { from: n, to: n + 1 });
  expect(index.size).toBe(ids.length);
  for (const [n, id] of ids.entries()) expect(index.spans(id)).toContainEqual({ from: n, to: n + 1 });
  expect(index.spans("ep_20000")).toEqual([]);
});

test("takes a further line into a span up to its bound", () => {
  const index = new PastIndex();
  index.add("a", { from: 100, to: 200 });
  expect(index.extend("a", 300, 250)).toBe(true);
  expect(index.extend("a", 400, 250)).toBe(false);
  expect(index.extend("b", 300, 250)).toBe(false);
  expect(index.spans("a")).toEqual([{ from: 100, to: 300 }]);
});

test("ids with the same hash share their spans, and lose none", () => {
  const [one, other] = COLLIDING;
  const index = new PastIndex();
  index.add(one, { from: 0, to: 1 });
  index.add(other, { from: 5, to: 6 });
  expect(index.spans(one)).toEqual([
    { from: 0, to: 1 },
    { from: 5, to: 6 },
  ]);
  expect(index.spans(other)).toEqual(index.spans(one));
});
