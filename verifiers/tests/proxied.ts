import { GymError } from "../../core/errors.ts";
import type { Sandbox } from "../../core/sandbox.ts";
import type { Check, Judgement, Room } from "../../core/verifier.ts";
import type { CallOutcome } from "../calls/called-subject.ts";
import { type Deadline, deadlineIn } from "../calls/deadline.ts";
import { type JudgeOptions, type JudgeReport, runJudge } from "../calls/judge-process.ts";
import { openJudge } from "../calls/open-judge.ts";
import { type FunctionTarget, openSubjectModule } from "../calls/open-module.ts";
import { absoluteCommand, runProgram, textOf } from "../calls/program-runs.ts";
import { judgeFiles, languageOfFile, moduleName, type Target } from "../calls/subject-languages.ts";
import { subjectProgram } from "../calls/subject-program.ts";
import { SubjectFault } from "../clean-room/subject-fault.ts";
import { EXPECTED_FILE, type TestPlan } from "./config.ts";

type ProxiedPlan = Extract<TestPlan, { type: "proxied" }>;

/** Hidden assertions in a judge sandbox, calls in the subject's. Score 1 when exactly the expected tests passed. */
export async function verifyProxied(room: Room, plan: ProxiedPlan): Promise<Judgement> {
  const deadline = deadlineIn(room.limits.wallMs);
  try {
    return verdictOf(await judged(room, plan, deadline), plan.expected);
  } catch (error) {
    if (error instanceof SubjectFault) error.checks = plan.expected.map((id) => ({ id, status: "missing" }));
    throw error;
  }
}

async function judged(room: Room, plan: ProxiedPlan, deadline: Deadline): Promise<JudgeReport> {
  const language = languageOfFile(plan.judgeFile);
  const hidden = new Map(room.files);
  hidden.delete(EXPECTED_FILE);
  // On the first run of all the judge compiles it, before it judges.
  if (plan.target.type === "functions") await subjectProgram(room, plan.target.language, deadline);
  const opening = openJudge(room, {
    language,
    files: judgeFiles(hidden, language, plan.target),
    main: plan.judgeFile,
  });
  // Awaited below; a subject that fails first must not leave it unobserved. The room takes back what was lent.
  opening.catch(() => undefined);
  await using subject = await openSubject(room, plan, deadline);
  await using judge = await opening;
  const report = await runJudge({
    judge,
    deadline,
    task: {
      task: "tests",
      file: plan.judgeFile,
      functions: plan.target.type === "functions" ? plan.target.functions : null,
      module: plan.target.type === "functions" ? moduleName(plan.target.entry, plan.target.language) : null,
    },
    answer: subject.answer,
  });
  await subject.finish();
  return report;
}

interface OpenSubject extends AsyncDisposable {
  readonly answer: JudgeOptions["answer"];
  finish(): Promise<void>;
}

async function openSubject(room: Room, plan: ProxiedPlan, deadline: Deadline): Promise<OpenSubject> {
  const { target, callTimeoutMs } = plan;
  return target.type === "functions"
    ? callSubject(room, { target, callTimeoutMs }, deadline)
    : runSubject(room, await room.subject(), { target, callTimeoutMs }, deadline);
}

async function callSubject(
  room: Room,
  plan: { target: FunctionTarget; callTimeoutMs: number },
  deadline: Deadline,
): Promise<OpenSubject> {
  const { target, callTimeoutMs } = plan;
  const limit = () => Math.min(callTimeoutMs, deadline.remainingMs());
  const options = { target, importMs: callTimeoutMs, deadline };
  // The import runs while the judge starts; its failure is told by the first call, or by finish().
  const { module: subject, loaded } = await openSubjectModule(room, room.subject(), options);
  const ready = async () => {
    const raised = await loaded;
    if (raised !== null)
      throw new SubjectFault(null, `${target.entry} cannot be imported: ${raised.name}: ${raised.message}`);
  };
  return {
    answer: async (request) => {
      if (request.type !== "call") throw new GymError("task_invalid", "these tests call functions, not a program");
      await ready();
      return replyOf(await subject.call(request, limit()));
    },
    finish: async () => {
      await ready();
      await subject.finish(limit());
    },
    [Symbol.asyncDispose]: () => subject[Symbol.asyncDispose](),
  };
}

function replyOf(outcome: CallOutcome): object {
  if (outcome.status === "broken") return { broken: outcome.reason };
  const args = outcome.args === null ? {} : { args: outcome.args };
  return outcome.status === "returned" ? { value: outcome.value, ...args } : { raised: outcome.raised, ...args };
}

function runSubject(
  room: Room,
  sandbox: Sandbox,
  plan: { target: Extract<Target, { type: "command" }>; callTimeoutMs: number },
  deadline: Deadline,
): OpenSubject {
  const command = absoluteCommand(plan.target.command, room);
  return {
    answer: async (request) => {
      if (request.type !== "run")
        throw new GymError("task_invalid", "these tests run a program, they call no functions");
      if (deadline.passed) throw new SubjectFault("timed_out", "the program used up the time of the verification");
      const timeoutMs = Math.min(plan.callTimeoutMs, deadline.remainingMs());
      const { args, stdin, files } = request;
      const result = await runProgram(sandbox, { command, args, stdin, files, timeoutMs });
      return {
        exit_code: result.timedOut ? null : result.exitCode,
        stdout: textOf(result.stdout),
        stderr: textOf(result.stderr),
      };
    },
    finish: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function verdictOf(report: JudgeReport, expected: readonly string[]): Judgement {
  if (report.unloadable !== null) {
    const checks = expected.map((id): Check => ({ id, status: "missing" }));
    return { score: 0, checks, flags: [], detail: { reason: report.unloadable } };
  }
  const ids = report.results.map(({ id }) => id);
  if (ids.length !== expected.length || !expected.every((id) => ids.includes(id)))
    throw new GymError("verifier_failed", `the tests are ${ids.join(", ")}, expected are ${expected.join(", ")}`);
  const checks = report.results.map(
    ({ id, status, message }): Check => ({ id, status, ...(message === null ? {} : { message }) }),
  );
  const passed = checks.filter(({ status }) => status === "passed").length;
  return { score: passed === checks.length ? 1 : 0, checks, flags: [], detail: { passed, total: checks.length } };
}
