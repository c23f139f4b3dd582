import { join } from "node:path";
import { GymError } from "../../core/errors.ts";
import { TaskId } from "../../core/ids.ts";
import type { FileTree } from "../../core/task.ts";
import { readTaskFolder, writeTaskFolder } from "./folder.ts";
import type { ImportedTask } from "./importers.ts";

/** Writes one imported task as `<into>/<id>`; content that breaks the format is `failed`, the same content `skipped`. */
export async function writeImported(into: string, id: string, tree: FileTree): Promise<ImportedTask> {
  try {
    const dir = join(into, ...TaskId.parse(id).split("/"));
    const before = await versionOf(dir);
    const task = await writeTaskFolder(dir, tree);
    if (task.version === before) return { id, status: "skipped", reason: "the same content is there already" };
    return { id, status: "written" };
  } catch (error) {
    if (error instanceof GymError && error.code === "task_invalid")
      return { id, status: "failed", reason: error.message };
    throw error;
  }
}

/** Null when there is no readable task: it is replaced. */
async function versionOf(dir: string): Promise<string | null> {
  try {
    return (await readTaskFolder(dir)).version;
  } catch (error) {
    if (error instanceof GymError && error.code === "task_invalid") return null;
    throw error;
  }
}
