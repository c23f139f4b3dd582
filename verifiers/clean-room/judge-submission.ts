import { GymError } from "../../core/errors.ts";
import { MOST_WITHHELD_MS, type SandboxProvider, type Snapshot, type Submission } from "../../core/sandbox.ts";
import type { Task } from "../../core/task.ts";
import type { Check, Flag, Judgement, Verifier } from "../../core/verifier.ts";
import { planSubmission } from "./path-policy.ts";
import { CleanRoom } from "./room.ts";
import type { ServerPool } from "./server-pool.ts";
import { SubjectFault } from "./subject-fault.ts";

export interface JudgeRequest {
  readonly provider: SandboxProvider;
  /** Over the same provider. */
  readonly servers: ServerPool;
  readonly task: Task;
  /** The task's base, as the episode had it. */
  readonly base: Snapshot;
  /** Another name of the workspace in the base. (Default: none) */
  readonly alias?: string | null;
  /** As the base's lease says. (Default: false, nobody knows) */
  readonly plain?: boolean;
  /** As the base's lease says. (Default: none) */
  readonly toolsInside?: ReadonlySet<string>;
  readonly submission: Submission;
  readonly verifier: Verifier;
  readonly seed: number;
  readonly wallMs: number;
  readonly signal: AbortSignal;
}

/** Beyond its wall time a verifier gets this long to say whose fault it was. */
const GRACE_MS = MOST_WITHHELD_MS + 15_000;
const MAX_MESSAGE = 2000;
const MAX_CHECKS = 10_000;

/**
 * One verifier's judgement of one submission; whatever is the submission's runs in fresh sandboxes. What the submission caused is a score; whatever we could
 * not do is thrown as a GymError and is never a score.
 */
export async function judgeSubmission(request: JudgeRequest): Promise<Judgement> {
  const { task, verifier, submission, provider } = request;
  const entry = task.verifiers.find(({ id }) => id === verifier.id);
  const mismatch = entry === undefined ? `${task.id} has no ${verifier.id}` : verifier.mismatch(task);
  if (entry === undefined || mismatch !== null) throw new GymError("verifier_failed", mismatch ?? "");
  const plan = planSubmission(submission, task, request.alias);
  const wall = new AbortController();
  const signal = AbortSignal.any([request.signal, wall.signal]);
  const image = await provider.image(task.image);
  await using room = new CleanRoom({ ...request, entry, plan, image, signal, limits: { wallMs: request.wallMs } });
  const timer = setTimeout(() => wall.abort(), request.wallMs + GRACE_MS);
  try {
    return finished(await unlessAborted(verifier.verify(room), signal), [...plan.flags, ...room.flags]);
  } catch (error) {
    request.signal.throwIfAborted();
    if (error instanceof SubjectFault) return finished(judgementOf(error), [...plan.flags, ...room.flags]);
    if (wall.signal.aborted)
      throw new GymError("verifier_failed", `${verifier.id} did not end within ${request.wallMs} ms`, { cause: error });
    if (error instanceof GymError) throw error;
    throw new GymError("verifier_failed", error instanceof Error ? error.message : String(error), { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    if (signal.aborted) onAbort();
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    // When the race is lost, the work ends by the closing of its sandboxes; its error has been told already.
    work.catch(() => undefined);
  }
}

const judgementOf = (fault: SubjectFault): Judgement => ({
  score: 0,
  checks: fault.checks,
  flags: fault.flags,
  detail: { reason: fault.message.slice(0, MAX_MESSAGE) },
});

function finished(judgement: Judgement, flags: readonly Flag[]): Judgement {
  const checks = judgement.checks
    .slice(0, MAX_CHECKS)
    .map(
      (check): Check =>
        check.message === undefined ? check : { ...check, message: check.message.slice(0, MAX_MESSAGE) },
    );
  return { ...judgement, checks, flags: [...flags, ...judgement.flags] };
}
