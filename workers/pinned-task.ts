import { GymError } from "../core/errors.ts";
import type { Digest, TaskId } from "../core/ids.ts";
import type { Task, TaskCatalog } from "../core/task.ts";

/** The task in the very version that an episode was made with, wherever it was imported; looks again when the catalog may be stale. */
export async function pinnedTask(tasks: TaskCatalog, id: TaskId, version: Digest): Promise<Task> {
  const first = await tasks.loadVersion(id, version);
  if (first !== null) return first;
  await tasks.refresh();
  const second = await tasks.loadVersion(id, version);
  if (second !== null) return second;
  const now = await tasks.load(id);
  throw new GymError(
    "task_invalid",
    now === null ? `there is no task ${id} any more` : `task ${id} has changed: ${now.version} is not ${version}`,
  );
}
