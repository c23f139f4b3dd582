import type { EpisodeAnswer } from "../core/api.ts";
import {
  type EpisodeRecord,
  type EpisodeState,
  isTerminated,
  isTruncated,
  type PendingReason,
  type StopReason,
} from "../core/episode.ts";
import type { Observation } from "../core/messages.ts";
import type { Verdict, VerdictView } from "../core/verifier.ts";
import { type Caller, seesTrajectory, seesVerdict } from "./auth/caller.ts";
import { type EpisodeFold, foldEpisode } from "./fold.ts";
import type { Parts } from "./parts.ts";

/** What a step adds to the record in the answer to it. */
export interface StepPart {
  readonly conversation: string;
  readonly seq: number;
  readonly observations: readonly Observation[];
  readonly tool_ms: number;
  readonly own_ms: number;
  readonly steps: number;
  readonly wall_used_ms: number;
  /** Set on the step that ends the episode. */
  readonly stop_reason: StopReason | null;
}

export interface AnswerParts {
  readonly record: EpisodeRecord;
  readonly caller: Caller;
  readonly verdicts: readonly Verdict[];
  readonly pendingReason: PendingReason | null;
  /** What the record says is older than this. */
  readonly state?: EpisodeState | undefined;
  readonly step?: StepPart | undefined;
  /** Those beside the step's. */
  readonly observations?: readonly Observation[] | undefined;
  /** Epoch ms of the last word of or about the episode. */
  readonly activeAt: number;
}

/** The one answer for an episode, as this caller may see it. */
export function episodeAnswer(parts: AnswerParts): EpisodeAnswer {
  const { record, caller, step } = parts;
  const steps = Math.max(record.steps, step?.steps ?? 0);
  const wallUsedMs = Math.max(record.wall_used_ms, step?.wall_used_ms ?? 0);
  const { environment } = record;
  return {
    episode_id: record.episode_id,
    run: record.run,
    state: parts.state ?? record.state,
    pending_reason: parts.pendingReason,
    answers: step === undefined ? null : { conversation: step.conversation, seq: step.seq },
    observations: [...(parts.observations ?? step?.observations ?? [])],
    terminated: record.stop_reason !== null && isTerminated(record.stop_reason),
    truncated: record.stop_reason !== null && isTruncated(record.stop_reason),
    stop_reason: record.stop_reason,
    outcome: record.outcome,
    reward: record.reward_status === "final" ? record.reward : null,
    reward_status: record.reward_status,
    trainable: record.trainable,
    verdicts: verdictViews(caller, parts.verdicts),
    flags: visibleFlags(caller, record.flags, parts.verdicts),
    environment: {
      task_id: environment.task_id,
      framework: environment.framework,
      framework_profile: environment.framework_profile,
      verifiers: environment.verifiers.filter((verifier) => seesVerdict(caller, verifier.role)).map(({ id }) => id),
      split: environment.split,
    },
    limits: record.limits,
    remaining: {
      steps: Math.max(0, record.limits.steps - steps),
      wall_s: Math.max(0, Math.round(record.limits.wall_s - wallUsedMs / 1000)),
    },
    expires_at: Math.round(parts.activeAt + record.idle_timeout_s * 1000),
    timing: {
      queued_ms: record.timing.queued_ms,
      boot_ms: record.timing.boot_ms,
      tool_ms: step?.tool_ms ?? null,
      own_ms: step?.own_ms ?? null,
    },
  };
}

/** The last verdict of each verifier that the caller may see. */
export function verdictViews(caller: Caller, verdicts: readonly Verdict[]): VerdictView[] {
  const last = new Map<string, Verdict>();
  for (const verdict of verdicts) if (seesVerdict(caller, verdict.role)) last.set(verdict.verifier, verdict);
  return [...last.values()].map(({ verifier, version, role, status, score, detail }) => ({
    verifier,
    version,
    role,
    status,
    score,
    detail,
  }));
}

/** Flags, less those that only a verdict out of the caller's sight has raised. */
function visibleFlags(caller: Caller, flags: readonly string[], verdicts: readonly Verdict[]): string[] {
  const raised = (visible: boolean): Set<string> =>
    new Set(
      verdicts.filter((v) => seesVerdict(caller, v.role) === visible).flatMap((v) => v.flags.map((flag) => flag.name)),
    );
  const hidden = raised(false);
  const shown = raised(true);
  return [...new Set([...flags, ...shown])].filter((flag) => shown.has(flag) || !hidden.has(flag));
}

/** Verdicts are there only once the reward is out: an unfinished vector would show what is still to come. */
export const verdictsFor = async (parts: Parts, record: EpisodeRecord): Promise<Verdict[]> =>
  record.state === "done" ? parts.store.verdicts(record.episode_id) : [];

/** The answer to a look: the open observation of every conversation. `full`: each with its whole context. */
export async function lookAt(
  parts: Parts,
  caller: Caller,
  record: EpisodeRecord,
  view: { readonly full: boolean },
): Promise<EpisodeAnswer> {
  const fold = await foldEpisode(parts.store, record.episode_id);
  return answerFromFold(parts, caller, record, fold, view);
}

export async function answerFromFold(
  parts: Parts,
  caller: Caller,
  record: EpisodeRecord,
  fold: EpisodeFold,
  view: { readonly full: boolean },
): Promise<EpisodeAnswer> {
  const visible = record.state !== "done" && record.state !== "verifying" && seesTrajectory(caller, record);
  const open = view.full ? fold.openInFull() : fold.open();
  return episodeAnswer({
    record,
    caller,
    verdicts: await verdictsFor(parts, record),
    pendingReason: await parts.occupancy.pendingReason(record),
    state: record.state === "ready" && fold.isRunning ? "running" : record.state,
    step: fold.lastStep ?? undefined,
    observations: visible ? open : [],
    activeAt: Math.max(record.updated_at, fold.lastAt ?? 0),
  });
}
