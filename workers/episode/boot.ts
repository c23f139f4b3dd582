import { type EpisodeRecord, REPLAY_MISMATCH } from "../../core/episode.ts";
import { GymError } from "../../core/errors.ts";
import type { ReplayDifference } from "../../core/events.ts";
import type { Digest } from "../../core/ids.ts";
import type { Sandbox } from "../../core/sandbox.ts";
import type { Task } from "../../core/task.ts";
import { taskView } from "../../environments/task-view.ts";
import { steadyNow } from "../../platform/clock.ts";
import type { BaseLease } from "../bases.ts";
import type { WorkerDeps } from "../deps.ts";
import { pinnedTask } from "../pinned-task.ts";
import { EpisodeActor } from "./actor.ts";
import { notifyState } from "./ending.ts";
import { type History, sameAnswer } from "./history.ts";
import type { Journal } from "./journal.ts";
import { meteredSandbox, newMeter } from "./meter.ts";
import { openEpisodeSandbox } from "./open-sandbox.ts";
import { type ActorParts, openFramework, pinnedFramework } from "./session.ts";
import { observationOf } from "./step-events.ts";
import { LastSaved, restoreWorkspace } from "./workspace.ts";
import { WorkspaceView } from "./workspace-view.ts";

export interface BootRequest {
  readonly deps: WorkerDeps;
  readonly record: EpisodeRecord;
  readonly journal: Journal;
  readonly history: History;
}

/**
 * booting → ready: opens the sandbox over the task's base and the framework in it. An episode with a history goes on where
 * the last durable event left it: the parked workspace (or the base), then its logged steps again.
 */
export async function boot(request: BootRequest): Promise<EpisodeActor> {
  const { deps, record, journal, history } = request;
  const started = performance.now();
  await notifyState(deps, record, journal.last, "state");
  const task = await pinnedTask(deps.tasks, record.environment.task_id, record.environment.task_version);
  const lease = await deps.bases.lease(task);
  let parts: OpenParts | null = null;
  try {
    parts = await openSession(request, task, lease);
    const differs = history.opened ? await replay(request, parts) : [];
    if (!history.opened) await announceOpening(request, parts, started);
    const ready = await deps.store.update(
      record.episode_id,
      { term: record.term, states: ["booting"] },
      {
        state: "ready",
        pending_reason: null,
        timing: timingOf(record, started, parts.sandbox),
        flags: flagged(record, differs),
      },
    );
    if (ready === null)
      throw new GymError("stale_term", `${record.episode_id} was ended or taken over while it booted`);
    const start = {
      nextSeq: history.nextSeq,
      steps: history.steps,
      wallUsedMs: history.wallUsedMs + performance.now() - started,
      info: history.lost,
    };
    const actor = new EpisodeActor({ ...parts, record: ready, start });
    await notifyState(deps, ready, journal.last, "state");
    return actor;
  } catch (error) {
    await parts?.sandbox.close();
    lease[Symbol.dispose]();
    throw error;
  }
}

type OpenParts = Omit<ActorParts, "start">;

async function openSession(
  { deps, record, journal, history }: BootRequest,
  task: Task,
  lease: BaseLease,
): Promise<OpenParts> {
  const framework = pinnedFramework(deps, record);
  const sandbox = await openEpisodeSandbox({ deps, record, journal, task }, lease.snapshot);
  try {
    if (history.saved !== null) await restoreWorkspace(deps, sandbox, history.saved.snapshot);
    const meter = newMeter();
    const metered = meteredSandbox(sandbox, meter);
    const shown = taskView(task, lease.alias);
    const session = await openFramework(framework, record, shown, metered, history.saved?.frameworkState ?? null);
    const saved = new LastSaved(history.saved?.snapshot ?? null);
    return { deps, record, task, framework, journal, lease, sandbox, session, meter, saved, view: new WorkspaceView() };
  } catch (error) {
    await sandbox.close();
    throw error;
  }
}

async function announceOpening(
  { deps, record, journal }: BootRequest,
  { task, session, lease, sandbox }: OpenParts,
  started: number,
): Promise<void> {
  const observation = observationOf(session.opening, { conversation: "main", seq: 0 }, { done: false, info: null });
  const bootMs = elapsed(started + sandbox.opening.queuedMs);
  await journal.append(
    {
      type: "sandbox.opened",
      image: task.image,
      // Of what it stands on: the name may stand for a newer one by now.
      image_digest: lease.snapshot.imageDigest,
      tier: deps.provider.tier,
      boot_ms: bootMs,
    },
    { type: "framework.opened", observation },
  );
  await deps.mailbox.broadcast({
    type: "notice",
    episode_id: record.episode_id,
    event: "observation",
    state: "booting",
    worker: deps.workerId,
    term: record.term,
    cursor: journal.last,
    data: observation,
  });
}

/**
 * Runs the logged steps again on the restored workspace. What they answered is already durable; answers whether they, or the
 * files they leave, are others now. Programs that ran on may still write, and did so then: only what stands still is sure.
 */
async function replay(
  { deps, record, journal, history }: BootRequest,
  { session, sandbox, view }: OpenParts,
): Promise<ReplayDifference[]> {
  const differs: ReplayDifference[] = [];
  let answers = true;
  let looked = await compare(history.workspaceView, { sandbox, view });
  const viewed = history.replay.findLast(({ observed }) => observed?.workspace_view != null);
  for (const step of history.replay) {
    const { accepted, observed } = step;
    if ("finish" in accepted.action || observed === null) continue;
    const signal = AbortSignal.timeout(record.limits.wall_s * 1000);
    const turn = await session.step(accepted.action, { signal, onOutput: () => undefined });
    answers &&= sameAnswer(turn.messages, observed.observations[0]?.messages ?? []);
    if (step === viewed) looked = await compare(observed.workspace_view, { sandbox, view });
  }
  if (!answers) differs.push("answers");
  if (looked === "other") differs.push("workspace");
  if (differs.length > 0) deps.log.warn({ episodeId: record.episode_id, differs }, "replay came out differently");
  await journal.append({
    type: "episode.recovered",
    from: history.saved === null ? "base" : "snapshot",
    replayed_steps: history.replay.length,
    replay_mismatch: differs.length > 0,
    differs,
    workspace_compared: looked !== "unknown",
    policy: record.on_replay_mismatch,
  });
  return differs;
}

/** Whether the workspace is as it was then, where both can be known. */
async function compare(
  then: Digest | null,
  { sandbox, view }: Pick<OpenParts, "sandbox" | "view">,
): Promise<"same" | "other" | "unknown"> {
  const now = then === null ? null : await view.look(sandbox);
  if (now === null) return "unknown";
  return now === then ? "same" : "other";
}

const flagged = ({ flags }: EpisodeRecord, differs: readonly ReplayDifference[]): string[] =>
  differs.length === 0 ? flags : [...new Set([...flags, REPLAY_MISMATCH])];

/** What its sandbox's start waited for others belongs to the queue. */
function timingOf(record: EpisodeRecord, started: number, { opening }: Sandbox): EpisodeRecord["timing"] {
  if (record.timing.boot_ms !== null) return record.timing;
  const bootMs = elapsed(started + opening.queuedMs);
  return { queued_ms: Math.max(0, Math.round(steadyNow() - record.created_at - bootMs)), boot_ms: bootMs };
}

const elapsed = (started: number): number => Math.round((performance.now() - started) * 100) / 100;
