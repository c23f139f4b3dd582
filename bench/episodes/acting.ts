import type { EpisodeAnswer } from "../../core/api.ts";
import { bashStep } from "../actions.ts";
import type { Gym } from "../gym.ts";

const TASK = "demo/merge-intervals";
const FRAMEWORK = "anthropic.bash-editor";

export const create = (gym: Gym, fields: Record<string, unknown> = {}): Promise<EpisodeAnswer> =>
  gym.client.episode("POST", "/v1/episodes", { task_id: TASK, framework: FRAMEWORK, ...fields });

export const step = (gym: Gym, id: string, seq: number, command = ":"): Promise<EpisodeAnswer> =>
  gym.client.episode("POST", `/v1/episodes/${id}/step`, { seq, action: bashStep(command) });

/** Parks it. */
export const snapshot = (gym: Gym, id: string): Promise<EpisodeAnswer> =>
  gym.client.episode("POST", `/v1/episodes/${id}/snapshot`, {});

export const rollout = (gym: Gym): Promise<EpisodeAnswer> =>
  gym.client.episode("POST", "/v1/rollouts", { task_id: TASK, framework: FRAMEWORK, policy: { script: "gold" } });
