import { type EpisodeEnvironment, type EpisodeRecord, OUTCOME_OF, REPLAY_MISMATCH } from "../core/episode.ts";
import { boundary, GymError } from "../core/errors.ts";
import { type Digest, deriveSeed } from "../core/ids.ts";
import type { VerifyJob } from "../core/jobs.ts";
import type { Submission } from "../core/sandbox.ts";
import type { Task } from "../core/task.ts";
import type { Verdict } from "../core/verifier.ts";
import { judgeSubmission } from "../verifiers/clean-room/judge-submission.ts";
import { combineRewards } from "../verifiers/combine.ts";
import type { BaseLease } from "./bases.ts";
import { appendEnd, completeLog } from "./closing.ts";
import type { WorkerDeps } from "./deps.ts";
import { endUnjudged, notifyState } from "./episode/ending.ts";
import { Journal } from "./episode/journal.ts";
import { loadSubmission } from "./episode/workspace.ts";
import { waitForImage } from "./images/waiting.ts";
import { pinnedTask } from "./pinned-task.ts";

/** Runs of a verifier that broke by our own failure before its verdict is `error`. */
const MAX_ATTEMPTS = 2;
/** Judges that did not live to their verdict, or whose jobs were lost, before it is given up: more than a bad day of Redis. */
const MAX_LOST_JUDGES = 5;

/**
 * Judges one ended episode by all its verifiers and commits its reward. Done twice (a lost worker, a stalled job) it adds
 * nothing: verdicts are unique, and the reward is committed by compare-and-set.
 */
export async function verifyEpisode(
  deps: WorkerDeps,
  job: Extract<VerifyJob, { kind: "episode" }>,
  signal: AbortSignal,
): Promise<void> {
  await waitForImage(deps, await deps.store.episode(job.episode_id), "verifying");
  const taken = await takeVerification(deps, job);
  if (taken === null) return completeJournal(deps, job);
  const { journal } = await Journal.resume(deps.store, taken.episode_id, taken.term);
  if (taken.lost_terms >= MAX_LOST_JUDGES) return quarantine(deps, taken, journal);
  const verdicts = await judgeRecord(deps, taken, journal, signal);
  signal.throwIfAborted();
  await commitReward(deps, taken, journal, verdicts);
}

/** Null: it is not to be judged under this term any more. A former judge that did not live to its verdict is counted. */
async function takeVerification(
  { store, workerId }: WorkerDeps,
  { episode_id, term }: Extract<VerifyJob, { kind: "episode" }>,
): Promise<EpisodeRecord | null> {
  const found = await store.episode(episode_id);
  if (found === null) return null;
  const lost = found.worker !== null && found.worker !== workerId;
  const guard = { term, states: ["verifying"] } as const;
  return store.update(episode_id, guard, {
    worker: workerId,
    pending_reason: null,
    lost_terms: found.lost_terms + (lost ? 1 : 0),
  });
}

/** What ends every worker that judges it is judged no more. */
async function quarantine(deps: WorkerDeps, record: EpisodeRecord, journal: Journal): Promise<void> {
  const message = `${record.lost_terms} workers in a row died while they judged it`;
  const failure = { code: "verifier_failed", stage: "verify", message };
  await endUnjudged({ deps, record, journal }, "verifier_failed", failure);
  deps.log.warn({ episodeId: record.episode_id, lost: record.lost_terms }, "verification ended: its workers die");
}

/** A worker that died between the reward and its events left the trajectory open: say its end from the record. */
async function completeJournal(deps: WorkerDeps, job: Extract<VerifyJob, { kind: "episode" }>): Promise<void> {
  const record = await deps.store.episode(job.episode_id);
  if (record === null || record.state !== "done" || record.term !== job.term) return;
  await completeLog(deps, record);
}

async function judgeRecord(
  deps: WorkerDeps,
  record: EpisodeRecord,
  journal: Journal,
  signal: AbortSignal,
): Promise<Verdict[]> {
  const known = await deps.store.verdicts(record.episode_id);
  const verdicts: Verdict[] = [];
  const inputs = await verificationInputs(deps, record);
  using _lease = inputs.status === "ready" ? inputs.lease : null;
  for (const entry of record.environment.verifiers) {
    const scored = known.find((v) => v.verifier === entry.id && v.version === entry.version && v.status === "scored");
    if (scored !== undefined) {
      verdicts.push(scored);
      continue;
    }
    const attempt = known.filter((v) => v.verifier === entry.id).length + 1;
    const frame = {
      entry,
      submission: record.submission,
      seed: deriveSeed(await deps.store.secret(), ["verdict", record.episode_id, entry.id]),
      attempt,
    };
    const verdict =
      inputs.status === "ready"
        ? await judgeOne(deps, { ...inputs, ...frame }, signal)
        : errorVerdict(frame, inputs.error, 0, "none");
    signal.throwIfAborted();
    await stillJudges(deps, record);
    if (await deps.store.addVerdict(record.episode_id, verdict))
      await journal.append({ type: "verdict.recorded", verdict });
    verdicts.push(verdict);
  }
  return verdicts;
}

/** A judge that was held up may have been replaced: what it found then counts no more. */
async function stillJudges({ store, workerId }: WorkerDeps, { episode_id, term }: EpisodeRecord): Promise<void> {
  const now = await store.episode(episode_id);
  if (now?.worker !== workerId || now.state !== "verifying" || now.term !== term)
    throw new GymError("stale_term", `${episode_id} is judged by ${now?.worker ?? "nobody"} now`);
}

type Inputs =
  | { status: "ready"; task: Task; lease: BaseLease; data: Submission }
  | { status: "failed"; error: unknown };

async function verificationInputs(deps: WorkerDeps, record: EpisodeRecord): Promise<Inputs> {
  try {
    const task = await pinnedTask(deps.tasks, record.environment.task_id, record.environment.task_version);
    if (record.submission === null) throw new GymError("verifier_failed", `${record.episode_id} has no submission`);
    const data = await loadSubmission(deps, record.submission);
    return { status: "ready", task, data, lease: await deps.bases.lease(task) };
  } catch (error) {
    return { status: "failed", error };
  }
}

type VerifierEntry = EpisodeEnvironment["verifiers"][number];

interface VerdictFrame {
  readonly entry: VerifierEntry;
  readonly submission: Digest | null;
  readonly seed: number;
  readonly attempt: number;
}

export interface OneJudgement extends VerdictFrame {
  readonly task: Task;
  readonly lease: BaseLease;
  readonly data: Submission;
}

/**
 * One verifier's verdict. Our own failures are tried again, then become a verdict of status `error`; never a score. So does
 * a verifier that is here in another version than the pinned one, with a flag: a rescore judges by the newer one.
 */
export async function judgeOne(deps: WorkerDeps, work: OneJudgement, signal: AbortSignal): Promise<Verdict> {
  const started = performance.now();
  const { id, version } = work.entry;
  const verifier = deps.verifiers.find((candidate) => candidate.id === id);
  if (verifier?.version !== version) {
    const has = verifier === undefined ? "none of that name" : `@${verifier.version}`;
    const error = new GymError("version_changed", `verifier ${id}@${version} is not here, this worker has ${has}`);
    const flags = [{ name: "verifier_changed", detail: error.message }];
    return { ...errorVerdict(work, error, 0, work.lease.snapshot.id), flags };
  }
  for (let tries = 1; ; tries++) {
    try {
      // A base that died with its host is made again: that is no property of the submission.
      using fresh = deps.provider.holds(work.lease.snapshot) ? null : await deps.bases.lease(work.task);
      const { snapshot: base, alias, plain, toolsInside } = fresh ?? work.lease;
      const judgement = await boundary("verify", "verifier_failed", () =>
        judgeSubmission({
          provider: deps.provider,
          servers: deps.servers,
          task: work.task,
          ...{ base, alias, plain, toolsInside },
          submission: work.data,
          verifier,
          seed: work.seed,
          wallMs: work.task.verifierS * 1000,
          signal,
        }),
      );
      return {
        ...verdictHead(work),
        base: base.id,
        status: "scored",
        ...judgement,
        duration_ms: Math.round(performance.now() - started),
      };
    } catch (error) {
      if (signal.aborted) throw error;
      deps.log.warn({ err: error, verifier: work.entry.id, taskId: work.task.id, tries }, "verifier failed");
      if (tries >= MAX_ATTEMPTS) return errorVerdict(work, error, performance.now() - started, work.lease.snapshot.id);
    }
  }
}

const verdictHead = ({ entry, submission, seed, attempt }: VerdictFrame) => ({
  verifier: entry.id,
  version: entry.version,
  role: entry.role,
  attempt,
  seed,
  submission,
});

function errorVerdict(frame: VerdictFrame, error: unknown, durationMs: number, base: string): Verdict {
  const message = error instanceof Error ? error.message : String(error);
  return {
    ...verdictHead(frame),
    base,
    status: "error",
    score: null,
    checks: [],
    flags: [],
    detail: { error: message.slice(0, 2000) },
    duration_ms: Math.round(durationMs),
  };
}

async function commitReward(
  deps: WorkerDeps,
  record: EpisodeRecord,
  journal: Journal,
  verdicts: readonly Verdict[],
): Promise<void> {
  const { reward, trainable } = combineRewards(verdicts);
  const stopReason = record.stop_reason ?? "submitted";
  const outcome = reward === null ? "verifier_error" : OUTCOME_OF[stopReason];
  const status = reward === null ? ("unavailable" as const) : ("final" as const);
  const broken = verdicts.find((v) => v.status === "error" && v.role === "train");
  const failure =
    broken === undefined
      ? null
      : {
          code: "verifier_failed",
          stage: "verify",
          message: `${broken.verifier}: ${JSON.stringify(broken.detail)}`.slice(0, 2000),
        };
  const flags = [
    ...new Set([
      ...record.flags,
      ...verdicts.filter((v) => v.role === "train").flatMap((v) => v.flags.map((flag) => flag.name)),
    ]),
  ];
  const isMasked = record.on_replay_mismatch === "mask" && record.flags.includes(REPLAY_MISMATCH);
  const done = await deps.store.update(
    record.episode_id,
    { term: record.term, states: ["verifying"], worker: deps.workerId },
    {
      state: "done",
      outcome,
      reward,
      reward_status: status,
      trainable: trainable && !isMasked,
      failure,
      flags,
      worker: null,
      ended_at: Date.now(),
      ...(reward === null ? { stop_reason: "verifier_failed" as const } : {}),
    },
  );
  if (done === null) return;
  await appendEnd(journal, done);
  deps.log.info({ episodeId: record.episode_id, outcome, reward }, "reward committed");
  await notifyState(deps, done, journal.last, "done");
}
