import type { TaskView } from "../core/framework.ts";
import { WORKSPACE } from "../core/sandbox.ts";
import type { Task } from "../core/task.ts";
import { asText } from "./tasks/folder-tree.ts";

/** What a framework may know of a task. Files that are not UTF-8 text are left out. `alias`: of its base. (Default: null) */
export function taskView(task: Task, alias: string | null = null): TaskView {
  const files = new Map<string, string>();
  for (const [path, { data }] of task.files) {
    const text = asText(data);
    if (text !== null) files.set(path, text);
  }
  return { instruction: task.instruction, workspace: WORKSPACE, alias, files };
}
