import { GymError } from "../core/errors.ts";
import type { Digest, TaskId } from "../core/ids.ts";
import type { Task, TaskCatalog } from "../core/task.ts";

/** The task in the very version that an episode was made with; looks again when the catalog may be stale. */
export async function pinnedTask(tasks: TaskCatalog, id: TaskId, version: Digest): Promise<Task> {
  const first = await tasks.load(id);
  if (first?.version === version) return first;
  await tasks.refresh();
  const second = await tasks.load(id);
  if (second?.version === version) return second;
  throw new GymError(
    "task_invalid",
    second === null ? `there is no task ${id} any more` : `task ${id} has changed: ${second.version} is not ${version}`,
  );
}
