import { GymError } from "../../core/errors.ts";
import type { ExecResult } from "../../core/sandbox.ts";
import type { Check, Room } from "../../core/verifier.ts";
import type { Deadline } from "../calls/deadline.ts";
import { absoluteCommand, runProgram, textOf } from "../calls/program-runs.ts";
import type { Target } from "../calls/subject-languages.ts";
import { SubjectFault } from "../clean-room/subject-fault.ts";
import { compareOutput, type OutputRule } from "../stdio/compare-output.ts";
import type { DifferentialPlan } from "./config.ts";
import type { Comparison } from "./functions.ts";
import { candidates } from "./inputs.ts";
import type { DifferentialInput } from "./pinned.ts";

type ProgramPlan = DifferentialPlan & { readonly target: Extract<Target, { type: "command" }> };

const MAX_OUTPUT_BYTES = 1024 * 1024;

/** Runs gold and the submission side by side on each input, one fresh process each. */
export async function comparePrograms(room: Room, plan: ProgramPlan, deadline: Deadline): Promise<Comparison> {
  const [reference, subject] = await Promise.all([room.reference(), room.subject()]);
  const command = absoluteCommand(plan.target.command, room);
  const checks: Check[] = [];
  let discarded = 0;
  for await (const input of allInputs(room, plan, deadline)) {
    room.signal.throwIfAborted();
    if (deadline.passed) throw new SubjectFault("timed_out", "the programs used up the time of the verification");
    const run = { ...runOf(input), command, maxOutputBytes: MAX_OUTPUT_BYTES };
    const timeoutMs = Math.min(plan.callTimeoutMs, deadline.remainingMs());
    const [gold, result] = await Promise.all([
      runProgram(reference, { ...run, timeoutMs }),
      runProgram(subject, { ...run, timeoutMs }),
    ]);
    if (gold.timedOut || gold.exitCode === null || gold.stdoutBytes > MAX_OUTPUT_BYTES) {
      discarded++;
      continue;
    }
    checks.push(checkOf(checks.length, input, problemOf(gold, result, plan.compare)));
  }
  if (checks.length < plan.source.minCount)
    throw new GymError("verifier_failed", `gold accepts ${checks.length} inputs, ${plan.source.minCount} are needed`);
  return { checks, discarded };
}

async function* allInputs(room: Room, plan: ProgramPlan, deadline: Deadline): AsyncIterable<DifferentialInput> {
  yield* plan.pinned;
  yield* candidates(room, plan, null, deadline);
}

function runOf(input: DifferentialInput): { args: string[]; stdin: string; files: DifferentialInput["files"] } {
  const args = input.args.map((arg) => {
    if (typeof arg !== "string") throw new GymError("task_invalid", "arguments of a program must be text");
    return arg;
  });
  return { args, stdin: input.stdin, files: input.files };
}

/** Null when they agree. */
function problemOf(gold: ExecResult, result: ExecResult, rule: OutputRule): string | null {
  if (result.timedOut) return "it ran out of time";
  if (result.exitCode !== gold.exitCode)
    return `it ended with ${result.signal ?? `status ${result.exitCode}`} where status ${gold.exitCode} is due`;
  if (result.stdoutBytes > result.stdout.length) return `it printed ${result.stdoutBytes} bytes`;
  return compareOutput(textOf(result.stdout), textOf(gold.stdout), rule);
}

function checkOf(index: number, input: DifferentialInput, problem: string | null): Check {
  const id = `input-${index + 1}`;
  if (problem === null) return { id, status: "passed" };
  return { id, status: "failed", message: `${JSON.stringify([input.args, input.stdin]).slice(0, 500)}: ${problem}` };
}
