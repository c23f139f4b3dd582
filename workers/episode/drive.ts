import type { EpisodeRecord } from "../../core/episode.ts";
import { GymError } from "../../core/errors.ts";
import { taskView } from "../../environments/task-view.ts";
import type { WorkerDeps } from "../deps.ts";
import { pinnedTask } from "../pinned-task.ts";
import type { EpisodeActor } from "./actor.ts";

/**
 * Acts for a scripted policy: its intents in the framework's own language, one step each, from where the episode stands until
 * it ends. Whatever is left open after the last action is submitted as it stands.
 */
export async function driveScript(
  deps: WorkerDeps,
  actor: EpisodeActor,
  record: EpisodeRecord,
  script: NonNullable<EpisodeRecord["script"]>,
): Promise<void> {
  const task = await pinnedTask(deps.tasks, record.environment.task_id, record.environment.task_version);
  const policy = deps.policies.find((candidate) => candidate.id === script.name);
  const framework = deps.frameworks.find((candidate) => candidate.id === record.environment.framework);
  if (policy === undefined || framework === undefined)
    throw new GymError(
      "sandbox_unavailable",
      `there is no policy ${script.name} or framework ${record.environment.framework} here`,
    );
  const actions = framework.encode(policy.intents(task, script.variant), taskView(task));
  for (const action of actions.slice(actor.nextSeq - 1)) {
    if (!actor.isLive) return;
    await actor.act(action);
  }
  if (actor.isLive) await actor.act({ finish: { reason: "submitted" } });
}
