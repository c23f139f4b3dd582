import { sha256 } from "../core/ids.ts";
import { type ManifestEntry, type Submission, WORKSPACE } from "../core/sandbox.ts";
import type { Task } from "../core/task.ts";
import { type TarEntry, writeTar } from "../docker/canonical-tar.ts";

/** More is left to a sandbox, which holds it to the task's limits. */
const MAX_BYTES = 1024 * 1024;
const MAX_FILES = 100;
/** Names that every tier takes and exports as they are. */
const PLAIN_PATH = /^[A-Za-z0-9_.-]+(\/[A-Za-z0-9_.-]+)*$/;
const MAX_PATH = 256;

/**
 * The submission that some written files make over a task's base, without a sandbox: byte for byte what an export of one would
 * be, over a base whose workspace is nothing but the task's own files. Null when it takes a sandbox to know: for folders in the
 * place of files, unusual names, and anything large.
 */
export function plainSubmission(
  task: Pick<Task, "files">,
  written: ReadonlyMap<string, Uint8Array>,
): Submission | null {
  if (written.size > MAX_FILES) return null;
  let bytes = 0;
  for (const data of written.values()) bytes += data.length;
  if (bytes > MAX_BYTES) return null;
  const folders = foldersOf(task.files.keys());
  const newFolders = new Set([...foldersOf(written.keys())].filter((folder) => !folders.has(folder)));
  const isFolder = (path: string) => folders.has(path) || newFolders.has(path);
  const isFile = (path: string) => task.files.has(path) || written.has(path);
  if (![...written.keys()].every((path) => isPlain(path) && !isFolder(path))) return null;
  if ([...newFolders].some(isFile)) return null;
  return submissionOf(task, written, newFolders);
}

const isPlain = (path: string): boolean =>
  path.length <= MAX_PATH && PLAIN_PATH.test(path) && !path.split("/").some((part) => part === "." || part === "..");

function foldersOf(paths: Iterable<string>): Set<string> {
  const folders = new Set<string>();
  for (const path of paths)
    for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1)) folders.add(path.slice(0, at));
  return folders;
}

function submissionOf(
  task: Pick<Task, "files">,
  written: ReadonlyMap<string, Uint8Array>,
  newFolders: ReadonlySet<string>,
): Submission {
  const changed = [...written].filter(([path, data]) => {
    const before = task.files.get(path);
    return before === undefined || Buffer.compare(before.data, data) !== 0;
  });
  const entries: TarEntry[] = [
    ...[...newFolders].map((path) => ({ type: "directory" as const, path, mode: 0o755 })),
    ...changed.map(([path, data]) => ({
      type: "file" as const,
      path,
      mode: (task.files.get(path)?.mode ?? 0o644) & 0o777,
      data,
    })),
  ].sort((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)));
  const manifest = entries.flatMap((entry): ManifestEntry[] => {
    if (entry.type === "symlink") return [];
    const { path, type, mode } = entry;
    return [
      type === "file"
        ? { path, type, mode, size: entry.data.length, sha256: sha256(entry.data) }
        : { path, type, mode, size: 0, sha256: null },
    ];
  });
  return { root: WORKSPACE, manifest, tar: writeTar(entries), refused: [] };
}
