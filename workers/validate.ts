import { matchesGlob } from "node:path";
import { resolveCell } from "../core/catalog.ts";
import type { EpisodeRecord } from "../core/episode.ts";
import { boundary, ProblemError } from "../core/errors.ts";
import type { Framework } from "../core/framework.ts";
import { canonicalJson, type EpisodeId, newEpisodeId, sha256 } from "../core/ids.ts";
import type { ValidationJob } from "../core/jobs.ts";
import { createdEvent, newEpisodeRecord } from "../core/new-episode.ts";
import type { ScriptedPolicy } from "../core/policy.ts";
import type { BackgroundJob } from "../core/records.ts";
import type { Task, TaskSummary } from "../core/task.ts";
import { taskView } from "../environments/task-view.ts";
import { eligibleVerifiers } from "../verifiers/catalog.ts";
import type { WorkerDeps } from "./deps.ts";

/** Episodes of one validation that wait or run at a time. */
const MAX_IN_FLIGHT = 64;
const POLL_MS = 200;

/** One attempt to be made, and what its reward must be. */
interface Trial {
  readonly task: Task;
  readonly summary: TaskSummary;
  readonly framework: Framework;
  readonly policy: ScriptedPolicy;
  readonly variant: string;
  readonly expected: 0 | 1;
}

export interface ValidationReport {
  readonly tasks: number;
  readonly valid: number;
  readonly untouched_passed: number;
  readonly wall_s: number;
  readonly problems: {
    task: string;
    framework: string;
    policy: string;
    variant: string;
    episode_id: string;
    reward: number | null;
    outcome: string | null;
    why: string;
  }[];
  /** Tasks that the machine cannot run, with the reason. */
  readonly unavailable: { task: string; why: string }[];
  /** Tasks whose verifiers can be forged together, with the reason. */
  readonly unsound: { task: string; why: string }[];
}

/**
 * Proves tasks: gold scores 1 through every framework that can express it, doing nothing scores 0, every known cheat
 * scores 0. Every attempt is an ordinary episode of run `validation:<job>`.
 */
export async function runValidation(
  deps: WorkerDeps,
  job: ValidationJob,
  record: BackgroundJob,
  onProgress: (done: number, total: number) => Promise<void>,
  signal: AbortSignal,
): Promise<ValidationReport> {
  const started = Date.now();
  const { trials, unavailable, unsound, tasks } = await planTrials(deps, job);
  const run = `validation:${job.job_id}`;
  const pending = new Map<EpisodeId, Trial>();
  const problems: ValidationReport["problems"] = [];
  let untouchedPassed = 0;
  const settle = (episode: EpisodeRecord, trial: Trial) => {
    pending.delete(episode.episode_id);
    if (episode.reward === trial.expected) return;
    if (trial.policy.id === "nothing" && episode.reward === 1) untouchedPassed++;
    problems.push(problemOf(episode, trial));
  };
  let begun = 0;
  while (begun < trials.length || pending.size > 0) {
    signal.throwIfAborted();
    for (; begun < trials.length && pending.size < MAX_IN_FLIGHT; begun++) {
      const trial = trials[begun];
      if (trial !== undefined)
        pending.set(await beginTrial(deps, trial, { run, owner: record.owner, verifiers: job.verifiers }), trial);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    for (const [id, trial] of pending) {
      const episode = await boundary("store", "store_failed", () => deps.store.episode(id));
      if (episode?.state === "done") settle(episode, trial);
    }
    await onProgress(begun - pending.size, trials.length);
  }
  const invalid = new Set([...problems.map((p) => p.task), ...[...unavailable, ...unsound].map((line) => line.task)]);
  return {
    tasks: tasks.length,
    valid: tasks.length - invalid.size,
    untouched_passed: untouchedPassed,
    wall_s: (Date.now() - started) / 1000,
    problems,
    unavailable,
    unsound,
  };
}

async function planTrials(
  deps: WorkerDeps,
  job: ValidationJob,
): Promise<Pick<ValidationReport, "unavailable" | "unsound"> & { trials: Trial[]; tasks: TaskSummary[] }> {
  await deps.tasks.refresh();
  const tasks = (await deps.tasks.list()).filter((task) => job.tasks.some((glob) => matchesGlob(task.id, glob)));
  const frameworks = deps.frameworks.filter((framework) =>
    job.frameworks.some((glob) => matchesGlob(framework.id, glob)),
  );
  const trials: Trial[] = [];
  const unavailable: ValidationReport["unavailable"] = [];
  const unsound: ValidationReport["unsound"] = [];
  for (const summary of tasks) {
    // An image that is not built yet is built for the first episode.
    const image = await deps.provider.image(summary.image).catch(() => null);
    const missing = image === null ? [] : summary.runtimes.filter((name) => !(name in image.runtimes));
    const task = await deps.tasks.load(summary.id);
    if (missing.length > 0 || task === null)
      unavailable.push({ task: summary.id, why: `the machine has no ${missing.join(", ")}` });
    else {
      trials.push(...trialsOf(deps, task, summary, frameworks));
      if (forgeable(deps, task))
        unsound.push({
          task: task.id,
          why: "every train verifier shares a process with the attempt: add one that does not",
        });
    }
  }
  return { trials, unavailable, unsound, tasks };
}

/** What the attempt's code can reach must not be all that judges it (runtime.md §8). */
export function forgeable(deps: Pick<WorkerDeps, "verifiers">, task: Task): boolean {
  const train = task.verifiers.filter((entry) => entry.role === "train").map((entry) => entry.id);
  const judges = deps.verifiers.filter((verifier) => train.includes(verifier.id));
  return judges.every((verifier) => verifier.sharesProcess(task));
}

/** Gold goes through every framework; what must fail is judged by the same verifiers whatever the framework, so once. */
function trialsOf(deps: WorkerDeps, task: Task, summary: TaskSummary, frameworks: readonly Framework[]): Trial[] {
  const trials: Trial[] = [];
  for (const policy of deps.policies) {
    for (const variant of policy.variants(task)) {
      const fitting = frameworks.filter((framework) => expresses(framework, policy, task, variant));
      const used = policy.id === "gold" ? fitting : fitting.slice(0, 1);
      trials.push(
        ...used.map((framework) => ({
          task,
          summary,
          framework,
          policy,
          variant,
          expected: policy.id === "gold" ? (1 as const) : (0 as const),
        })),
      );
    }
  }
  return trials;
}

/** A framework's language may lack an intent, or be unable to say this very change. */
function expresses(framework: Framework, policy: ScriptedPolicy, task: Task, variant: string): boolean {
  try {
    return framework.encode(policy.intents(task, variant), taskView(task)).length > 0;
  } catch (error) {
    if (error instanceof ProblemError) return false;
    throw error;
  }
}

async function beginTrial(
  deps: WorkerDeps,
  trial: Trial,
  options: { run: string; owner: string; verifiers: readonly string[] | null },
): Promise<EpisodeId> {
  const { task, summary, framework, policy, variant } = trial;
  const environment = resolveCell({
    task: summary,
    framework,
    config: framework.config.parse({}),
    eligible: eligibleVerifiers(task),
    requested: options.verifiers ?? undefined,
  });
  const record = newEpisodeRecord({
    episodeId: newEpisodeId(),
    owner: options.owner,
    run: options.run,
    environment,
    taskWallS: task.wallS,
    script: { name: policy.id, variant },
    secret: await deps.store.secret(),
    now: Date.now(),
  });
  await deps.store.createEpisode(record, sha256(canonicalJson(record)));
  await deps.store.append([createdEvent(record)]);
  await deps.queues.addEpisode({ episode_id: record.episode_id, term: 1 });
  return record.episode_id;
}

function problemOf(episode: EpisodeRecord, trial: Trial): ValidationReport["problems"][number] {
  const why = episode.failure?.message ?? `reward ${episode.reward} where ${trial.expected} is due`;
  const { task, framework, policy, variant } = trial;
  return {
    task: task.id,
    framework: framework.id,
    policy: policy.id,
    variant,
    episode_id: episode.episode_id,
    reward: episode.reward,
    outcome: episode.outcome,
    why,
  };
}
