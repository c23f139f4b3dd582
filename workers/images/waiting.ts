import type { EpisodeRecord, EpisodeState } from "../../core/episode.ts";
import { PostponeError } from "../../platform/queues.ts";
import type { WorkerDeps } from "../deps.ts";
import { sayWaiting } from "../episode/ending.ts";
import { pinnedTask } from "../pinned-task.ts";

/**
 * Lets an episode's job wait, without a place, while the image of its task is built; the record says so. A task that cannot be
 * loaded and an image whose build failed are met again where the image is used.
 */
export async function waitForImage(deps: WorkerDeps, record: EpisodeRecord | null, state: EpisodeState): Promise<void> {
  if (record?.state !== state) return;
  const { task_id, task_version } = record.environment;
  const task = await pinnedTask(deps.tasks, task_id, task_version).catch(() => null);
  if (task === null) return;
  try {
    await deps.images.require(task);
  } catch (error) {
    if (error instanceof PostponeError) await sayWaiting(deps, record, "image_building");
    throw error;
  }
}
