import { EPISODE_STATES } from "../../core/episode.ts";
import type { WorkerDeps } from "../deps.ts";
import { pinnedTask } from "../pinned-task.ts";

/** Names of the images that unfinished episodes stand on, wherever they are. */
export async function pinnedImages(deps: Pick<WorkerDeps, "store" | "tasks">): Promise<Set<string>> {
  const unfinished = EPISODE_STATES.filter((state) => state !== "done");
  const episodes = await deps.store.unfinished(unfinished, 0);
  const versions = new Map(
    episodes.map(({ environment }) => [`${environment.task_id} ${environment.task_version}`, environment]),
  );
  const images = new Set<string>();
  for (const { task_id, task_version } of versions.values()) {
    // A task that is gone cannot be opened again, whatever its image.
    const task = await pinnedTask(deps.tasks, task_id, task_version).catch(() => null);
    if (task !== null) images.add(task.image);
  }
  return images;
}
