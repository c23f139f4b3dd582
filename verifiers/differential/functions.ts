import { GymError } from "../../core/errors.ts";
import type { Json } from "../../core/json.ts";
import type { Check, Room } from "../../core/verifier.ts";
import type { CallOutcome, SubjectCall } from "../calls/called-subject.ts";
import type { Deadline } from "../calls/deadline.ts";
import { type FunctionTarget, openSubjectModule } from "../calls/open-module.ts";
import { subjectProgram } from "../calls/subject-program.ts";
import { SubjectFault } from "../clean-room/subject-fault.ts";
import { compareOutcomes, isComparable, type OutcomeRules } from "./compare-outcomes.ts";
import type { DifferentialPlan } from "./config.ts";
import { candidates } from "./inputs.ts";
import type { DifferentialInput } from "./pinned.ts";
import { ReferenceModule } from "./reference.ts";

export interface Comparison {
  readonly checks: readonly Check[];
  /** Inputs that gold does not accept. */
  readonly discarded: number;
}

type FunctionPlan = DifferentialPlan & { readonly target: FunctionTarget };

interface Expectation {
  readonly call: SubjectCall;
  readonly gold: CallOutcome;
}

/** Gold's time for one drawn input: what takes it longer is left out. Others of the same kind take it well below 1 ms. */
const GOLD_CALL_MS = 300;
/** Drawn inputs on which gold may hang or die before we make do with those it has accepted. */
const MAX_HUNG = 12;

/** Gold answers first, then the submission gets the inputs that gold accepted. */
export async function compareFunctions(room: Room, plan: FunctionPlan, deadline: Deadline): Promise<Comparison> {
  const importMs = plan.callTimeoutMs;
  const options = { target: plan.target, importMs, deadline };
  await subjectProgram(room, plan.target.language, deadline);
  // Imports while gold answers; what fails is told when it is awaited.
  const opening = openSubjectModule(room, room.subject(), options);
  opening.catch(() => undefined);
  const rules: OutcomeRules = {
    tolerance: plan.tolerance,
    oneNumberType: plan.target.language === "javascript",
    errors: plan.errors,
  };
  await using reference = new ReferenceModule(room, options);
  const { expectations, discarded } = await expectationsOf(room, { plan, reference, rules }, deadline);
  const { module, loaded } = await opening;
  await using subject = module;
  const checks: Check[] = [];
  try {
    const raised = await loaded;
    if (raised !== null)
      throw new SubjectFault(null, `${plan.target.entry} cannot be imported: ${raised.name}: ${raised.message}`);
    for (const { call, gold } of expectations) {
      const outcome = await subject.call(call, Math.min(plan.callTimeoutMs, deadline.remainingMs()));
      checks.push(checkOf(checks.length, call, compareOutcomes(gold, outcome, { sent: call.args, rules })));
    }
    await subject.finish(Math.min(plan.callTimeoutMs, deadline.remainingMs()));
  } catch (error) {
    if (error instanceof SubjectFault)
      error.checks = expectations.map(({ call }, i) => checks[i] ?? checkOf(i, call, "no answer"));
    throw error;
  }
  return { checks, discarded };
}

async function expectationsOf(
  room: Room,
  options: { plan: FunctionPlan; reference: ReferenceModule; rules: OutcomeRules },
  deadline: Deadline,
): Promise<{ expectations: Expectation[]; discarded: number }> {
  const { plan, reference, rules } = options;
  const expectations: Expectation[] = [];
  let discarded = 0;
  let largestAnswered = 0;
  let smallestHung = Number.POSITIVE_INFINITY;
  const consider = async (input: DifferentialInput, timeoutMs: number) => {
    room.signal.throwIfAborted();
    if (deadline.passed) throw new GymError("verifier_failed", "gold used up the time of the verification");
    const call = callOf(input, plan);
    const size = largestNumber(call.args);
    // Where numbers that were too large made gold hang, larger ones would only cost time.
    if (size >= smallestHung) return;
    const gold = await reference.call(call, timeoutMs);
    // A count below zero hangs whatever its size: it says nothing of larger ones.
    if (gold === null && size > largestAnswered && !hasNegative(call.args)) smallestHung = size;
    if (gold !== null) largestAnswered = Math.max(largestAnswered, size);
    if (gold !== null && isComparable(gold, rules)) expectations.push({ call, gold });
    else discarded++;
  };
  for (const input of plan.pinned) await consider(input, plan.callTimeoutMs);
  const pinned = expectations.length;
  const wanted = plan.source.from === "pinned" ? 0 : plan.source.count;
  for await (const input of candidates(room, plan, reference, deadline)) {
    if (expectations.length - pinned >= wanted || reference.deaths > MAX_HUNG) break;
    await consider(input, Math.min(GOLD_CALL_MS, plan.callTimeoutMs));
  }
  if (expectations.length < plan.source.minCount)
    throw new GymError(
      "verifier_failed",
      `gold accepts ${expectations.length} of ${expectations.length + discarded} inputs, ${plan.source.minCount} are needed`,
    );
  return { expectations, discarded };
}

function largestNumber(value: Json | readonly Json[]): number {
  if (typeof value === "number") return Math.abs(value);
  if (value === null || typeof value !== "object") return 0;
  return Object.values(value).reduce<number>((largest, part) => Math.max(largest, largestNumber(part)), 0);
}

function hasNegative(value: Json | readonly Json[]): boolean {
  if (typeof value === "number") return value < 0;
  return value !== null && typeof value === "object" && Object.values(value).some(hasNegative);
}

function callOf(input: DifferentialInput, plan: FunctionPlan): SubjectCall {
  const [only, ...others] = plan.target.functions;
  const name = input.function ?? (others.length === 0 ? only : undefined);
  if (name === undefined || !plan.target.functions.includes(name))
    throw new GymError("task_invalid", `an input calls ${name ?? "no function"}, which the settings do not list`);
  return { function: name, args: input.args, kwargs: {} };
}

function checkOf(index: number, call: SubjectCall, problem: string | null): Check {
  const id = `input-${index + 1}`;
  if (problem === null) return { id, status: "passed" };
  return { id, status: "failed", message: `${call.function}${JSON.stringify(call.args).slice(0, 500)}: ${problem}` };
}
