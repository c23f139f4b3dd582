import type { Json } from "../../core/json.ts";
import type { CallOutcome } from "../calls/called-subject.ts";
import { type EqualityRules, sameValue, tagOf } from "../calls/typed-value.ts";

export interface OutcomeRules extends EqualityRules {
  readonly errors: "discard" | "compare";
}

/** Whether what gold did on an input is something to compare with. A value that is not equal to itself (NaN) is not. */
export function isComparable(gold: CallOutcome, rules: OutcomeRules): boolean {
  if (gold.status === "broken") return false;
  if (gold.status === "raised") return rules.errors === "compare";
  return sameValue(gold.value, gold.value, rules);
}

/** Null when they agree, else how they differ. `sent`: the call's arguments. */
export function compareOutcomes(
  gold: CallOutcome,
  subject: CallOutcome,
  { sent, rules }: { sent: readonly Json[]; rules: OutcomeRules },
): string | null {
  if (subject.status === "broken") return subject.reason;
  if (gold.status === "raised") {
    if (subject.status !== "raised") return `it returned where ${classOf(gold)} is due`;
    return classOf(subject) === classOf(gold) ? null : `${classOf(subject)} where ${classOf(gold)} is due`;
  }
  if (subject.status === "raised") return `it raised ${subject.raised.name}: ${subject.raised.message.slice(0, 200)}`;
  if (gold.status === "broken") return "gold has no answer";
  if (!sameValue(gold.value, subject.value, rules)) return "another value";
  // A function that returns nothing answers by what it does to its arguments; else changing them is its own business.
  if (!isNothing(gold.value) || gold.args === null) return null;
  const [due, got] = [gold.args, subject.args ?? sent];
  return sameValue([...due], [...got], rules) ? null : "its arguments are changed in another way";
}

const classOf = ({ raised }: Extract<CallOutcome, { status: "raised" }>): string => raised.bases[0] ?? raised.name;

const isNothing = (value: Json): boolean => value === null || tagOf(value)?.tag === "$undefined";
