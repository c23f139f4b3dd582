import { expect, test } from "vitest";
import type { Verdict } from "../core/verifier.ts";
import { combineRewards } from "./combine.ts";

const verdict = (role: Verdict["role"], score: number | null): Pick<Verdict, "role" | "status" | "score"> => ({
  role,
  status: score === null ? "error" : "scored",
  score,
});

test("the reward is the lowest train score", () => {
  expect(combineRewards([verdict("train", 1), verdict("train", 0)])).toEqual({ reward: 0, trainable: true });
  expect(combineRewards([verdict("train", 1), verdict("train", 1)])).toEqual({ reward: 1, trainable: true });
});

test("one broken train verifier makes the reward null, also beside a 0", () => {
  expect(combineRewards([verdict("train", 0), verdict("train", null)])).toEqual({ reward: null, trainable: false });
});

test("shadow and sealed verdicts do not count, broken or not", () => {
  const rest = [verdict("shadow", 0), verdict("sealed", null)];
  expect(combineRewards([verdict("train", 1), ...rest])).toEqual({ reward: 1, trainable: true });
});

test("without a train verdict there is no reward", () => {
  expect(combineRewards([])).toEqual({ reward: null, trainable: false });
  expect(combineRewards([verdict("shadow", 1)])).toEqual({ reward: null, trainable: false });
});
