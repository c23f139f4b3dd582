import { GymError } from "../../core/errors.ts";
import type { ExecResult } from "../../core/sandbox.ts";
import type { Task } from "../../core/task.ts";
import type { Check, Verifier } from "../../core/verifier.ts";
import { deadlineIn } from "../calls/deadline.ts";
import { absoluteCommand, runProgram, textOf } from "../calls/program-runs.ts";
import { planStdio, type StdioCase, type StdioPlan } from "./cases.ts";
import { compareOutput, type OutputRule } from "./compare-output.ts";

/** Beyond the expected output, so that a wrong answer is still seen whole; more is wrong anyway. */
const OUTPUT_SLACK_BYTES = 64 * 1024;

function planOf(task: Task): StdioPlan | string {
  const entry = task.verifiers.find(({ id }) => id === stdio.id);
  if (entry === undefined) return "the task lists no stdio";
  return task.kind === "function" ? "functions have no standard output to compare" : planStdio(entry);
}

export const stdio: Verifier = {
  id: "stdio",
  version: "1",
  title: "Standard input and output",
  description: [
    "Runs the program on the task's hidden cases, one fresh process each, and compares its standard output and exit status",
    "outside the sandbox: token counts first, then tokens, or exactly. Standard error does not count.",
    "It catches programs that print other things, print too much, end early, hang or crash. It cannot see a program that knows",
    "the hidden cases, and it judges nothing that is not printed.",
  ].join(" "),
  split: "train",
  graded: false,
  sharesProcess: () => false,
  mismatch(task) {
    const plan = planOf(task);
    return typeof plan === "string" ? plan : null;
  },
  async verify(room) {
    const plan = planOf(room.task);
    if (typeof plan === "string") throw new GymError("task_invalid", `${room.task.id}: ${plan}`);
    const { config, cases } = plan;
    const deadline = deadlineIn(room.limits.wallMs);
    const sandbox = await room.subject();
    const command = absoluteCommand(config.command, room);
    const checks: Check[] = [];
    for (const one of cases) {
      room.signal.throwIfAborted();
      if (deadline.passed) {
        checks.push({ id: one.id, status: "missing", message: "the cases before it used up the time" });
        continue;
      }
      const result = await runProgram(sandbox, {
        command,
        args: one.args,
        stdin: one.stdin,
        files: one.files,
        timeoutMs: Math.min(config.timeout_s * 1000, deadline.remainingMs()),
        maxOutputBytes: Buffer.byteLength(one.stdout) + OUTPUT_SLACK_BYTES,
      });
      const problem = problemOf(result, one, config.compare);
      checks.push({
        id: one.id,
        status: problem === null ? "passed" : "failed",
        ...(problem ? { message: problem } : {}),
      });
    }
    const passed = checks.filter(({ status }) => status === "passed").length;
    return { score: passed === checks.length ? 1 : 0, checks, flags: [], detail: { passed, total: checks.length } };
  },
};

/** Null when the case passed. */
function problemOf(result: ExecResult, one: StdioCase, rule: OutputRule): string | null {
  if (result.timedOut) return "it ran out of time";
  if (result.exitCode !== one.exit_code)
    return `it ended with ${result.outOfMemory ? "no memory left, " : ""}${result.signal ?? `status ${result.exitCode}`}`;
  if (result.stdoutBytes > result.stdout.length) return `it printed ${result.stdoutBytes} bytes`;
  return compareOutput(textOf(result.stdout), one.stdout, rule);
}
