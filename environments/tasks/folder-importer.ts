import { Readable } from "node:stream";
import { gunzipSync } from "node:zlib";
import { parse } from "smol-toml";
import { extract } from "tar-stream";
import * as z from "zod";
import { GymError } from "../../core/errors.ts";
import { TaskId } from "../../core/ids.ts";
import type { FileTree, TaskFile } from "../../core/task.ts";
import { asText, isSafePath, sortedTree, taskInvalid } from "./folder-tree.ts";
import { requireImportSource } from "./import-source.ts";
import type { ImportedTask, Importer, ImportOptions } from "./importers.ts";
import { writeImported } from "./write-imported.ts";

const MAX_UNPACKED_BYTES = 512 * 1024 * 1024;
const MAX_ENTRIES = 100_000;

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

/** Files of the archive by path. Links, devices and paths that leave the archive refuse the whole upload. */
async function untar(upload: Uint8Array): Promise<FileTree> {
  const files: [string, TaskFile][] = [];
  let bytes = 0;
  const archive = extract();
  Readable.from([unzip(upload)]).pipe(archive);
  try {
    for await (const entry of archive) {
      const { name, type, mode } = entry.header;
      const path = name.replace(/^(\.\/)+/, "").replace(/\/$/, "");
      if (path === "" || path === ".") {
        entry.resume();
        continue;
      }
      if (!isSafePath(path)) throw taskInvalid("folder import", `${JSON.stringify(name)} leaves the archive`);
      if (type !== "file" && type !== "contiguous-file" && type !== "directory")
        throw taskInvalid("folder import", `${name} is a ${type}; only files and folders may be in a task`);
      const chunks: Uint8Array[] = [];
      for await (const chunk of entry) {
        if (!(chunk instanceof Uint8Array)) continue; // the stream's type leaves its chunks open; they are bytes
        bytes += chunk.length;
        if (bytes > MAX_UNPACKED_BYTES)
          throw taskInvalid("folder import", `more than ${MAX_UNPACKED_BYTES} bytes unpacked`);
        chunks.push(chunk);
      }
      if (type !== "directory") files.push([path, { data: Buffer.concat(chunks), mode: mode & 0o100 ? 0o755 : 0o644 }]);
      if (files.length > MAX_ENTRIES) throw taskInvalid("folder import", `more than ${MAX_ENTRIES} files`);
    }
  } catch (error) {
    throw error instanceof GymError ? error : taskInvalid("folder import", "the upload is not a tar archive", error);
  }
  return sortedTree(files);
}

function unzip(upload: Uint8Array): Uint8Array {
  if (upload[0] !== 0x1f || upload[1] !== 0x8b) return upload;
  try {
    return gunzipSync(upload, { maxOutputLength: MAX_UNPACKED_BYTES });
  } catch (error) {
    throw taskInvalid("folder import", `the upload is no gzip archive of at most ${MAX_UNPACKED_BYTES} bytes`, error);
  }
}
