import { boundary, GymError } from "../../core/errors.ts";
import type { EpisodeRecord } from "../../core/episode.ts";
import type { Framework } from "../../core/framework.ts";
import type { EpisodeJob } from "../../core/jobs.ts";
import type { Task } from "../../core/task.ts";
import { taskView } from "../../environments/task-view.ts";
import type { BaseLease } from "../bases.ts";
import type { WorkerDeps } from "../deps.ts";
import { pinnedTask } from "../pinned-task.ts";
import { EpisodeActor, observationOf, type ActorParts } from "./actor.ts";
import { driveScript } from "./drive.ts";
import { describeFailure, endUnjudged, notifyState } from "./ending.ts";
import { Journal } from "./journal.ts";
import type { LiveEpisodes } from "./live.ts";
import { meteredSandbox, newMeter } from "./meter.ts";

/**
 * The processor of queue `episode`: one job is one live episode, from the grant of its term to its hand-over. A job whose
 * term is not the next one is obsolete and does nothing.
 */
export async function runEpisode(deps: WorkerDeps, live: LiveEpisodes, job: EpisodeJob, signal: AbortSignal): Promise<void> {
  const record = await deps.store.grantTerm(job.episode_id, deps.workerId, job.term - 1);
  if (record === null) return;
  const journal = await grantedJournal(deps, record);
  const actor = await bootOrEnd(deps, record, journal);
  if (actor === null) return;
  live.add(record.episode_id, actor);
  const onAbort = () => {
    actor.abandon().catch((error: unknown) => deps.log.error({ err: error, episodeId: record.episode_id }, "episode did not stop"));
  };
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    if (record.script !== null) await driveScript(deps, actor, record, record.script);
    await actor.ended;
  } finally {
    signal.removeEventListener("abort", onAbort);
    live.remove(record.episode_id);
  }
}

/** A server-driven episode begins again right after its creation; what an earlier owner did is fenced off. */
async function grantedJournal(deps: WorkerDeps, record: EpisodeRecord): Promise<Journal> {
  const journal = new Journal(deps.store, record.episode_id, record.term, 1);
  await journal.append({ type: "term.granted", worker: deps.workerId, from_n: 1 });
  return journal;
}

async function bootOrEnd(deps: WorkerDeps, record: EpisodeRecord, journal: Journal): Promise<EpisodeActor | null> {
  try {
    return await boundary("boot", "sandbox_unavailable", () => boot(deps, record, journal));
  } catch (error) {
    deps.log.error({ err: error, episodeId: record.episode_id, taskId: record.environment.task_id }, "episode did not boot");
    if (error instanceof GymError && error.code === "stale_term") return null;
    await endUnjudged({ deps, record, journal }, "sandbox_lost", describeFailure(error, "boot"));
    return null;
  }
}

async function boot(deps: WorkerDeps, record: EpisodeRecord, journal: Journal): Promise<EpisodeActor> {
  const started = performance.now();
  const queuedMs = Math.max(0, Date.now() - record.created_at);
  await notifyState(deps, record, journal.last, "state");
  const task = await pinnedTask(deps.tasks, record.environment.task_id, record.environment.task_version);
  const framework = pinnedFramework(deps, record);
  const lease = await deps.bases.lease(task);
  try {
    const parts = await openSession(deps, record, { task, framework, lease, journal });
    const bootMs = Math.round((performance.now() - started) * 100) / 100;
    const image = await deps.provider.image(task.image);
    const observation = observationOf(parts.session.opening, { conversation: "main", seq: 0 }, false);
    await journal.append(
      { type: "sandbox.opened", image: task.image, image_digest: image.digest, tier: deps.provider.tier, boot_ms: bootMs },
      { type: "framework.opened", observation },
    );
    const ready = await deps.store.update(
      record.episode_id,
      { term: record.term, states: ["booting"] },
      { state: "ready", pending_reason: null, timing: { queued_ms: queuedMs, boot_ms: bootMs } },
    );
    if (ready === null) {
      await parts.sandbox.close();
      throw new GymError("stale_term", `${record.episode_id} was ended or taken over while it booted`);
    }
    const actor = new EpisodeActor({ ...parts, wallUsedMs: performance.now() - started });
    await notifyState(deps, ready, journal.last, "state");
    return actor;
  } catch (error) {
    lease[Symbol.dispose]();
    throw error;
  }
}

interface BootParts {
  readonly task: Task;
  readonly framework: Framework;
  readonly lease: BaseLease;
  readonly journal: Journal;
}

async function openSession(deps: WorkerDeps, record: EpisodeRecord, parts: BootParts): Promise<Omit<ActorParts, "wallUsedMs">> {
  const { task, framework, lease } = parts;
  const sandbox = await deps.provider.open({
    image: task.image,
    from: lease.snapshot,
    limits: task.limits,
    owner: `${record.episode_id}-t${record.term}`,
  });
  try {
    const meter = newMeter();
    const session = await framework.open({
      task: taskView(task),
      sandbox: meteredSandbox(sandbox, meter),
      limits: { toolMs: record.limits.tool_s * 1000, observationChars: record.limits.observation_chars },
      config: record.environment.framework_config,
      seed: record.seed,
      resume: null,
    });
    return { deps, record, ...parts, sandbox, session, meter };
  } catch (error) {
    await sandbox.close();
    throw error;
  }
}

/** A framework that changed since the episode was made is refused, never silently used (runtime.md §9). */
function pinnedFramework(deps: WorkerDeps, record: EpisodeRecord): Framework {
  const { framework: id, framework_version: version } = record.environment;
  const found = deps.frameworks.find((framework) => framework.id === id);
  if (found?.version === version) return found;
  throw new GymError("sandbox_unavailable", `framework ${id}@${version} is not here, this worker has ${found === undefined ? "none of that name" : `@${found.version}`}`);
}
