import type { Verdict } from "../core/verifier.ts";

/**
 * The reward of one episode: the lowest score of its train verdicts. Null, and not trainable, unless there is at least one
 * and every one of them is scored. Shadow and sealed verdicts never count.
 */
export function combineRewards(verdicts: readonly Pick<Verdict, "role" | "status" | "score">[]): {
  reward: number | null;
  trainable: boolean;
} {
  const train = verdicts.filter((verdict) => verdict.role === "train");
  const scores = train.flatMap(({ status, score }) => (status === "scored" && score !== null ? [score] : []));
  if (train.length === 0 || scores.length < train.length) return { reward: null, trainable: false };
  return { reward: Math.min(...scores), trainable: true };
}
