import {
  type EpisodeRecord,
  JUDGED_OUTCOMES,
  OUTCOME_OF,
  type PendingReason,
  type StopReason,
} from "../../core/episode.ts";
import { GymError, type Stage } from "../../core/errors.ts";
import type { Digest } from "../../core/ids.ts";
import type { Sandbox, Snapshot, Submission } from "../../core/sandbox.ts";
import { ManifestEntrySchema, type SubmissionBlob } from "../../core/submission.ts";
import type { WorkerDeps } from "../deps.ts";
import { enqueueOrSweep } from "../hints.ts";
import type { Journal } from "./journal.ts";

/** Bytes and entries that a submission may have; more is refused, and judged as an empty one. */
const MAX_SUBMISSION_BYTES = 64 * 1024 * 1024;
const MAX_SUBMISSION_ENTRIES = 20_000;

export type Failure = NonNullable<EpisodeRecord["failure"]>;

export interface EndingOwner {
  readonly deps: WorkerDeps;
  readonly record: EpisodeRecord;
  readonly journal: Journal;
}

export function describeFailure(error: unknown, stage: Stage): Failure {
  if (error instanceof GymError) return { code: error.code, stage: error.stage ?? stage, message: error.message };
  return { code: "internal", stage, message: error instanceof Error ? error.message : String(error) };
}

export const isJudged = (reason: StopReason): boolean => JUDGED_OUTCOMES.has(OUTCOME_OF[reason]);

/** Ends an episode that nobody judges: reward null, trainable false. Throws `stale_term` when it has another owner. */
export async function endUnjudged(
  owner: EndingOwner,
  reason: StopReason,
  failure: Failure | null,
  extra: { steps?: number; wall_used_ms?: number; flags?: string[] } = {},
): Promise<void> {
  const { deps, record, journal } = owner;
  const outcome = OUTCOME_OF[reason];
  const updated = await deps.store.update(
    record.episode_id,
    { term: record.term },
    {
      ...extra,
      state: "done",
      pending_reason: null,
      stop_reason: reason,
      outcome,
      failure,
      reward: null,
      reward_status: "unavailable",
      trainable: false,
      ended_at: Date.now(),
    },
  );
  if (updated === null)
    throw new GymError("stale_term", `${record.episode_id} has a newer owner than term ${record.term}`);
  await journal.append(
    { type: "reward.committed", reward: null, reward_status: "unavailable", trainable: false },
    { type: "episode.ended", stop_reason: reason, outcome, failure },
  );
  await notifyState(owner.deps, updated, journal.last, "done");
}

/** The next worker goes on with it under a new term. False when it has changed hands or ended meanwhile. */
export async function backToQueue(
  deps: WorkerDeps,
  { episode_id, term }: EpisodeRecord,
  { lostTerms }: { readonly lostTerms: number },
): Promise<boolean> {
  const queued = await deps.store.update(
    episode_id,
    { term, states: ["booting", "ready", "running"] },
    { state: "queued", pending_reason: "recovering", worker: null, lost_terms: lostTerms },
  );
  if (queued === null) return false;
  await deps.queues.addEpisode({ episode_id, term: term + 1 });
  await notifyState(deps, queued, -1, "state");
  return true;
}

/** Hands a frozen workspace over to the verifiers. */
export async function handOver(
  owner: EndingOwner,
  submission: Submission,
  reason: StopReason,
  extra: { steps: number; wall_used_ms: number; flags: string[] },
): Promise<void> {
  const { deps, record, journal } = owner;
  const digest = await putSubmission(deps, submission);
  await journal.append({
    type: "submission.frozen",
    submission: digest,
    manifest: submission.manifest.map((entry) => ManifestEntrySchema.parse(entry)),
    refused: [...submission.refused],
    stop_reason: reason,
  });
  const updated = await deps.store.update(
    record.episode_id,
    { term: record.term },
    {
      ...extra,
      flags: [...new Set([...record.flags, ...extra.flags])],
      state: "verifying",
      pending_reason: null,
      stop_reason: reason,
      submission: digest,
      reward_status: "pending",
      worker: null,
      lost_terms: 0,
    },
  );
  if (updated === null)
    throw new GymError("stale_term", `${record.episode_id} has a newer owner than term ${record.term}`);
  const job = { kind: "episode", episode_id: record.episode_id, term: record.term } as const;
  await enqueueOrSweep(deps.log, deps.queues.addVerify(job, { attempt: 1 }));
  await notifyState(deps, updated, journal.last, "state");
}

export const putSubmission = (deps: WorkerDeps, submission: Submission): Promise<Digest> =>
  deps.store.putBlob(Buffer.from(JSON.stringify(blobOf(submission))));

export const blobOf = (submission: Submission): SubmissionBlob => ({
  root: submission.root,
  manifest: submission.manifest.map((entry) => ManifestEntrySchema.parse(entry)),
  refused: [...submission.refused],
  tar: Buffer.from(submission.tar).toString("base64"),
});

/**
 * Freezes the sandbox and exports what it changed. What the attempt made impossible (too large, its own sandbox killed) is
 * an empty submission with a flag: it will be judged on the untouched base.
 */
export async function freezeAndExport(
  deps: WorkerDeps,
  sandbox: Sandbox,
  base: Snapshot,
  root: string,
): Promise<{ submission: Submission; flags: string[] }> {
  let frozen: Snapshot;
  try {
    frozen = await sandbox.freeze();
  } catch (error) {
    if (error instanceof GymError && error.code === "sandbox_killed")
      return { submission: emptySubmission(root), flags: ["workspace_lost"] };
    throw error;
  }
  try {
    const exported = await deps.provider.export(base, frozen, {
      root,
      maxBytes: MAX_SUBMISSION_BYTES,
      maxEntries: MAX_SUBMISSION_ENTRIES,
    });
    if (exported.ok) return { submission: exported.value, flags: [] };
    return { submission: emptySubmission(root), flags: [`submission_${exported.error}`] };
  } finally {
    await deps.provider.release(frozen);
  }
}

/** A tar of nothing: two blocks of zeros. */
export const emptySubmission = (root: string): Submission => ({
  root,
  manifest: [],
  refused: [],
  tar: new Uint8Array(1024),
});

export async function notifyState(
  deps: WorkerDeps,
  record: EpisodeRecord,
  cursor: number,
  event: "state" | "done",
): Promise<void> {
  await deps.mailbox.broadcast({
    type: "notice",
    episode_id: record.episode_id,
    event,
    state: record.state,
    worker: record.worker,
    term: record.term,
    cursor,
    data: null,
  });
}

/** The record says why its job gave its place up. One that is said already is not said again. */
export async function sayWaiting(deps: WorkerDeps, record: EpisodeRecord, why: PendingReason): Promise<void> {
  if (record.pending_reason === why) return;
  const guard = { term: record.term, states: [record.state] };
  const waiting = await deps.store.update(record.episode_id, guard, { pending_reason: why });
  if (waiting !== null) await notifyState(deps, waiting, -1, "state");
}
