import { EpisodeAnswer } from "../core/api.ts";
import { newEpisodeId } from "../core/ids.ts";
import type { ScriptName } from "../core/policy.ts";
import type { Client } from "./client.ts";
import { CommandError } from "./exit-codes.ts";

/** One scripted episode to run. */
export interface Rollout {
  readonly task: string;
  readonly framework: string;
  readonly script: ScriptName;
  /** Which cheat. Undefined: the first, or the only one. */
  readonly variant?: string | undefined;
}

export interface FinishedRollout {
  readonly rollout: Rollout;
  readonly answer: EpisodeAnswer;
}

export interface RunRolloutsOptions {
  readonly client: Client;
  /** Label of the run that the episodes belong to. */
  readonly run: string;
  /** Episodes under way at once. */
  readonly parallel: number;
  readonly signal: AbortSignal;
  readonly onFinished?: (finished: FinishedRollout, count: number) => void;
  /** Told of a cheat that its framework has no words for; it is left out. */
  readonly onInexpressible?: (rollout: Rollout, reason: string) => void;
}

/**
 * Runs them all, some at a time, and answers in their order, without those that could not be expressed. The same call sent
 * again goes on waiting for its episode.
 */
export async function runRollouts(
  rollouts: readonly Rollout[],
  options: RunRolloutsOptions,
): Promise<FinishedRollout[]> {
  const finished: FinishedRollout[] = [];
  const queue = rollouts.entries();
  let count = 0;
  const lane = async () => {
    for (const [index, rollout] of queue) {
      options.signal.throwIfAborted();
      const answer = await runOne(rollout, options);
      if (answer === null) continue;
      const result = { rollout, answer };
      finished[index] = result;
      count += 1;
      options.onFinished?.(result, count);
    }
  };
  await Promise.all(Array.from({ length: Math.min(options.parallel, rollouts.length) }, lane));
  return finished.filter((one) => one !== undefined);
}

async function runOne(rollout: Rollout, options: RunRolloutsOptions): Promise<EpisodeAnswer | null> {
  try {
    return await untilDone(rollout, options);
  } catch (error) {
    if (rollout.script !== "cheat" || !(error instanceof CommandError) || error.problem !== "invalid_cell") throw error;
    options.onInexpressible?.(rollout, error.message);
    return null;
  }
}

async function untilDone(
  { task, framework, script, variant }: Rollout,
  { client, run, signal }: RunRolloutsOptions,
): Promise<EpisodeAnswer> {
  const body = {
    episode_id: newEpisodeId(),
    task_id: task,
    framework,
    run,
    policy: { script, ...(variant === undefined ? {} : { variant }) },
  };
  for (;;) {
    const answer = await client.post("/v1/rollouts", EpisodeAnswer, { body, signal });
    if (answer.state === "done") return answer;
  }
}

/** Every verifier that the caller may see agrees that the attempt is right. */
export const passed = (answer: EpisodeAnswer): boolean =>
  answer.reward === 1 && answer.verdicts.length > 0 && answer.verdicts.every((verdict) => verdict.score === 1);

/** A failure of ours: no reward, and not to be trained on. */
export const isMasked = (answer: EpisodeAnswer): boolean => answer.reward === null;
