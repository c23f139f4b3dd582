import type { Intent } from "../../core/policy.ts";
import type { ScriptedChange, Task } from "../../core/task.ts";
import { requireText } from "../tasks/folder-tree.ts";

/** A change as intents: files in order of path, then deletions, then the script, then the end. Files must be text. */
export function changeIntents(task: Task, change: ScriptedChange): Intent[] {
  const writes = [...change.files].map(([path, file]): Intent => {
    const before = task.files.get(path);
    return {
      type: "write",
      path,
      before: before === undefined ? null : requireText(before, `${task.id} environment/${path}`),
      content: requireText(file, `${task.id} ${change.name}/files/${path}`),
    };
  });
  const deletes = change.deleted.map((path): Intent => ({ type: "delete", path }));
  const runs = change.script === null ? [] : [{ type: "run", command: change.script } satisfies Intent];
  return [...writes, ...deletes, ...runs, { type: "finish" }];
}
