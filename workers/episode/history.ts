import type { StopReason } from "../../core/episode.ts";
import type { EpisodeEvent } from "../../core/events.ts";
import type { Digest } from "../../core/ids.ts";
import type { Json } from "../../core/json.ts";
import type { Observation, ObservationInfo } from "../../core/messages.ts";
import type { StepMail } from "./conversation.ts";
import { lostInfo } from "./step-events.ts";

type Accepted = Extract<EpisodeEvent, { type: "step.accepted" }>;
type Observed = Extract<EpisodeEvent, { type: "step.observed" }>;

/** A step as the log has it; `observed` is null for one that its owner did not live to answer. */
export interface LoggedStep {
  readonly accepted: Accepted;
  readonly observed: Observed | null;
}

/** What earlier owners of an episode left behind: a fold over its events. */
export interface History {
  /** False before the first owner got as far as the opening observation. */
  readonly opened: boolean;
  /** The last state that was saved or parked. */
  readonly saved: { readonly snapshot: Digest; readonly frameworkState: Json } | null;
  /** Digest of the workspace as it was saved last, before any replay, where that is known. */
  readonly workspaceView: Digest | null;
  /** Programs that ended when it was parked last, while no observation has told of it; null: none. */
  readonly lost: ObservationInfo | null;
  /** Steps to replay on top of it, in order, all answered. */
  readonly replay: readonly LoggedStep[];
  /** Accepted and not answered: to be run now. */
  readonly unanswered: Accepted | null;
  readonly nextSeq: number;
  readonly steps: number;
  readonly wallUsedMs: number;
  /** The last answered step ended the episode by this reason, but nothing was handed over. */
  readonly stop: StopReason | null;
  /** The workspace was exported already; only the verifiers are due. */
  readonly frozen: { readonly submission: Digest; readonly stop: StopReason } | null;
}

export function historyOf(events: readonly EpisodeEvent[]): History {
  const savedAt = events.findLastIndex((event) => event.type === "episode.parked" || event.type === "episode.saved");
  const saved = events[savedAt];
  const observed = events.filter((event) => event.type === "step.observed");
  const accepted = events.filter((event) => event.type === "step.accepted");
  const last = observed.at(-1);
  const frozen = events.findLast((event) => event.type === "submission.frozen");
  const answered = (step: Accepted) =>
    observed.find((o) => o.conversation === step.conversation && o.seq === step.seq) ?? null;
  const since = accepted.filter((step) =>
    saved?.type === "episode.saved" ? step.seq > saved.seq : step.n > (saved?.n ?? -1),
  );
  const isParked = saved?.type === "episode.parked" && (last?.n ?? -1) < saved.n;
  // Programs may have written on after the last step, until they were ended by parking.
  const mayHaveMoved = isParked && saved.processes_lost !== 0;
  const lastAccepted = accepted.at(-1);
  const replay = since
    .map((step) => ({ accepted: step, observed: answered(step) }))
    .filter((step) => step.observed !== null);
  return {
    opened: events.some((event) => event.type === "framework.opened"),
    saved:
      saved?.type === "episode.parked" || saved?.type === "episode.saved"
        ? { snapshot: saved.snapshot, frameworkState: saved.framework_state }
        : null,
    workspaceView: mayHaveMoved || replay.length > 0 ? null : (last?.workspace_view ?? null),
    lost: isParked ? lostInfo(saved.processes_lost, saved.commands_lost) : null,
    replay,
    unanswered: lastAccepted !== undefined && answered(lastAccepted) === null ? lastAccepted : null,
    nextSeq: (last?.seq ?? 0) + 1,
    steps: last?.steps ?? 0,
    wallUsedMs: last?.wall_used_ms ?? 0,
    stop: last?.stop_reason ?? null,
    frozen: frozen?.type === "submission.frozen" ? { submission: frozen.submission, stop: frozen.stop_reason } : null,
  };
}

/** True when a replayed step says the same; times and ids are digits, and digits are not compared. */
export function sameAnswer(
  a: readonly Observation["messages"][number][],
  b: readonly Observation["messages"][number][],
): boolean {
  const plain = (messages: readonly unknown[]) => JSON.stringify(messages).replaceAll(/\d+/g, "0");
  return plain(a) === plain(b);
}

/** The letter that an accepted step came in, without anybody waiting for it. */
export const mailOf = (step: Accepted, term: number): StepMail => ({
  type: "step",
  episode_id: step.episode_id,
  term,
  server: "",
  correlation: "",
  conversation: step.conversation,
  seq: step.seq,
  action: step.action,
});
