import * as z from "zod";
import { VerifyAnswer, type VerifyBody } from "../core/api.ts";
import { type EpisodeEnvironment, strictestSplit } from "../core/episode.ts";
import { PROBLEM_STATUS, Problem, type ProblemCode, ProblemError } from "../core/errors.ts";
import type { VerifyRequestBlob } from "../core/jobs.ts";
import type { Task } from "../core/task.ts";
import { actsOnSplit, type Caller } from "./auth/caller.ts";
import type { Parts } from "./parts.ts";
import { isOver, nextLook, type Wait } from "./wait.ts";

/** What a worker answers. */
const WorkerAnswer = z.union([
  z.object({ ok: z.literal(true), answer: VerifyAnswer }),
  z.object({ ok: z.literal(false), problem: Problem }),
]);

/** Characters of a request that its job carries through Redis; a larger one is written to disk once and read once. */
const MAX_CARRIED = 32 * 1024;

/** Nobody judged it in time: no reward, and nobody's fault but ours. */
export const UNANSWERED: VerifyAnswer = {
  reward: null,
  reward_status: "unavailable",
  outcome: "infra_error",
  trainable: false,
  verdicts: [],
  flags: [],
};

/** Judges a submission without an episode. */
export async function verifySubmission(
  parts: Parts,
  caller: Caller,
  body: VerifyBody,
  wait: Wait,
): Promise<VerifyAnswer> {
  return askVerdict(parts, await verifyRequest(parts, caller, body), wait);
}

/** Lets a worker judge it and waits for the answer. */
export async function askVerdict(parts: Parts, request: VerifyRequestBlob, wait: Wait): Promise<VerifyAnswer> {
  const text = JSON.stringify(request);
  const carried = text.length <= MAX_CARRIED ? request : await parts.store.putBlob(Buffer.from(text));
  using watch = parts.hub.watch(null);
  using expected = parts.hub.expectVerified(watch);
  const { correlation } = expected;
  await parts.queues.addVerify(
    { kind: "submission", correlation, server: parts.serverId, request: carried },
    { attempt: 1 },
  );
  while (expected.answer() === null && !isOver(wait)) await nextLook(watch, wait, Number.POSITIVE_INFINITY);
  const answer = expected.answer();
  if (answer === null) return UNANSWERED;
  const result = WorkerAnswer.parse(answer);
  if (result.ok) return result.answer;
  throw new ProblemError(codeOf(result.problem.code), result.problem.detail, result.problem.hint);
}

const codeOf = (code: string): ProblemCode => (isProblemCode(code) ? code : "invalid_request");
const isProblemCode = (code: string): code is ProblemCode => Object.hasOwn(PROBLEM_STATUS, code);

async function verifyRequest(parts: Parts, caller: Caller, body: VerifyBody): Promise<VerifyRequestBlob> {
  const { task } = await parts.cells.task(caller, body.task_id);
  parts.cells.checkVerifiers(caller, task, body.verifiers);
  const verifiers = judgesOf(parts, caller, task, body.verifiers);
  if (body.framework !== undefined) parts.cells.framework(caller, body.framework);
  if ("text" in body.submission) checkText(parts, caller, body.framework);
  return {
    task_id: task.id,
    task_version: task.version,
    framework: body.framework ?? null,
    verifiers: verifiers.map(({ id }) => ({ id, role: "train" as const })),
    submission: body.submission,
  };
}

function judgesOf(
  parts: Parts,
  caller: Caller,
  task: Task,
  requested: readonly string[] | undefined,
): readonly { id: string }[] {
  const wanted = requested ?? task.verifiers.filter((verifier) => verifier.role === "train").map(({ id }) => id);
  const judges = parts.cells.eligible(task).filter(({ id }) => wanted.includes(id));
  const split: EpisodeEnvironment["split"] = strictestSplit([task.split, ...judges.map((judge) => judge.split)]);
  if (judges.length > 0 && actsOnSplit(caller, split)) return judges;
  if (judges.length === 0)
    throw new ProblemError("invalid_cell", `no verifier can judge ${task.id}`, "GET /v1/matrix shows what fits");
  throw new ProblemError(
    "forbidden",
    `${task.id} is held out`,
    "choose a train task; held-out ones are open to evaluations",
  );
}

function checkText(parts: Parts, caller: Caller, id: string | undefined): void {
  const fitting = parts.cells.frameworks(caller).filter((framework) => framework.accepts === "text");
  if (fitting.some((framework) => framework.id === id)) return;
  throw new ProblemError(
    "invalid_request",
    "a submission as text needs the framework that extracts code from it",
    `name one as framework: ${fitting.map((framework) => framework.id).join(", ")}`,
  );
}
