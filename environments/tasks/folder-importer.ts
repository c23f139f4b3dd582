import { parse } from "smol-toml";
import * as z from "zod";
import { TaskId } from "../../core/ids.ts";
import type { FileTree } from "../../core/task.ts";
import { untar } from "./folder-archive.ts";
import { asText, taskInvalid } from "./folder-tree.ts";
import { requireImportSource } from "./import-source.ts";
import type { ImportedTask, Importer, ImportOptions } from "./importers.ts";
import { writeImported } from "./write-imported.ts";

const TomlName = z.looseObject({ task: z.looseObject({ name: TaskId }) });

export const folderImporter: Importer = {
  format: "folder",
  description: "A tar or tar.gz of native task folders (each with task.toml, at any depth)",
  import: importFolders,
};

async function* importFolders(upload: Uint8Array, into: string, options: ImportOptions): AsyncGenerator<ImportedTask> {
  const files = await untar(upload);
  const folders = [...files.keys()].filter((path) => path === "task.toml" || path.endsWith("/task.toml"));
  const roots = folders
    .map((path) => path.slice(0, -"task.toml".length))
    .filter((root, _i, all) => isOutermost(root, all));
  if (roots.length === 0) throw taskInvalid("folder import", "the archive holds no task.toml");
  for (const root of roots) {
    const tree = new Map(
      [...files].filter(([path]) => path.startsWith(root)).map(([path, file]) => [path.slice(root.length), file]),
    );
    const id = idOf(tree, options.source);
    yield typeof id === "string"
      ? await writeImported(into, id, tree)
      : { id: root || "task.toml", status: "failed", reason: id.why };
  }
}

/** A task.toml inside another task's folder is one of that task's files. */
const isOutermost = (root: string, all: readonly string[]): boolean =>
  !all.some((other) => other !== root && root.startsWith(other));

function idOf(tree: FileTree, source: string | undefined): TaskId | { readonly why: string } {
  try {
    const toml = TomlName.safeParse(parse(asText(tree.get("task.toml")?.data ?? new Uint8Array()) ?? ""));
    if (!toml.success) return { why: "task.toml: task.name must look like source/name" };
    const id = toml.data.task.name;
    const [own = ""] = id.split("/");
    if (source !== undefined && own !== source)
      return { why: `task.toml: task.name must begin with ${source}/, got ${id}` };
    requireImportSource(own);
    return id;
  } catch (error) {
    return { why: `task.toml: ${error instanceof Error ? error.message : String(error)}` };
  }
}
