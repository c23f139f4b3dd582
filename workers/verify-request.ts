import * as z from "zod";
import type { VerifyAnswer } from "../core/api.ts";
import { SubmissionInput } from "../core/api.ts";
import { GymError, type Problem, ProblemError } from "../core/errors.ts";
import { Digest, deriveSeed, sha256, TaskId } from "../core/ids.ts";
import { type VerifyJob, VerifyRequestBlob } from "../core/jobs.ts";
import { Json } from "../core/json.ts";
import type { Submission } from "../core/sandbox.ts";
import type { Verdict } from "../core/verifier.ts";
import { PostponeError } from "../platform/queues.ts";
import { combineRewards } from "../verifiers/combine.ts";
import type { WorkerDeps } from "./deps.ts";
import { loadSubmission } from "./episode/workspace.ts";
import { pinnedTask } from "./pinned-task.ts";
import { type SubmissionRequest, submissionFrom } from "./submissions.ts";
import { judgeOne } from "./verify.ts";

/** What the asking server gets: an answer, or the problem with the request. */
type Reply = { ok: true; answer: VerifyAnswer } | { ok: false; problem: Problem };

/** Judges a submission without an episode (`POST /v1/verify`) and sends the answer to the server that asked. */
export async function verifySubmission(
  deps: WorkerDeps,
  job: Extract<VerifyJob, { kind: "submission" }>,
  signal: AbortSignal,
): Promise<void> {
  const reply = await answerFor(deps, job, signal);
  await deps.mailbox.toServer(job.server, {
    type: "verified",
    correlation: job.correlation,
    answer: Json.parse(reply),
  });
}

async function answerFor(
  deps: WorkerDeps,
  job: Extract<VerifyJob, { kind: "submission" }>,
  signal: AbortSignal,
): Promise<Reply> {
  try {
    return { ok: true, answer: await judgeRequest(deps, await requestOf(deps, job.request), signal) };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof PostponeError) throw error;
    if (error instanceof ProblemError) return { ok: false, problem: error.toProblem() };
    deps.log.error({ err: error }, "verification failed");
    return {
      ok: true,
      answer: {
        reward: null,
        reward_status: "unavailable",
        outcome: "infra_error",
        trainable: false,
        verdicts: [],
        flags: [],
      },
    };
  }
}

async function requestOf(deps: WorkerDeps, carried: Digest | VerifyRequestBlob): Promise<VerifyRequestBlob> {
  if (typeof carried !== "string") return carried;
  const bytes = await deps.store.blob(carried);
  if (bytes === null) throw new GymError("store_failed", `request ${carried} is not in the store`);
  return VerifyRequestBlob.parse(JSON.parse(Buffer.from(bytes).toString()));
}

const Stored = z.object({ stored: Digest });

async function submissionOf(
  deps: WorkerDeps,
  cell: Omit<SubmissionRequest, "input">,
  given: unknown,
): Promise<{ submission: Submission; flags: string[] }> {
  const stored = Stored.safeParse(given);
  if (stored.success) return { submission: await loadSubmission(deps, stored.data.stored), flags: [] };
  return submissionFrom(deps, { ...cell, input: SubmissionInput.parse(given) });
}

async function judgeRequest(deps: WorkerDeps, request: VerifyRequestBlob, signal: AbortSignal): Promise<VerifyAnswer> {
  const task = await pinnedTask(deps.tasks, TaskId.parse(request.task_id), request.task_version);
  const framework = deps.frameworks.find((candidate) => candidate.id === request.framework) ?? null;
  await deps.images.require(task);
  using lease = await deps.bases.lease(task);
  const { submission, flags } = await submissionOf(deps, { task, lease, framework }, request.submission);
  const digest = sha256(submission.tar);
  const secret = await deps.store.secret();
  const verdicts: Verdict[] = [];
  for (const { id, role } of request.verifiers) {
    const version = deps.verifiers.find((candidate) => candidate.id === id)?.version ?? "unknown";
    const seed = deriveSeed(secret, ["verify", task.id, digest, id]);
    verdicts.push(
      await judgeOne(
        deps,
        { entry: { id, version, role }, submission: null, seed, attempt: 1, task, lease, data: submission },
        signal,
      ),
    );
  }
  const { reward, trainable } = combineRewards(verdicts);
  const shown = verdicts.filter((v) => v.role === "train");
  return {
    reward,
    reward_status: reward === null ? "unavailable" : "final",
    outcome: reward === null ? "verifier_error" : "ok",
    trainable,
    verdicts: shown.map(({ verifier, version, role, status, score, detail }) => ({
      verifier,
      version,
      role,
      status,
      score,
      detail,
    })),
    flags: [...new Set([...flags, ...shown.flatMap((v) => v.flags.map((flag) => flag.name))])],
  };
}
