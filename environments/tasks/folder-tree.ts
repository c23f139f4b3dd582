import { lstat, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { GymError } from "../../core/errors.ts";
import { type Digest, sha256 } from "../../core/ids.ts";
import type { FileTree, TaskFile } from "../../core/task.ts";

/** A task is text and small fixtures; more than this is a mistake in the folder. */
const MAX_TREE_FILES = 20_000;
const MAX_TREE_BYTES = 256 * 1024 * 1024;

const ignoredNames = /^(__pycache__|\.DS_Store|\.pytest_cache)$|\.(pyc|swp|swo)$|~$/;
const digestedFiles: ReadonlySet<string> = new Set(["task.toml", "instruction.md", "README.md"]);
const digestedFolders = ["environment/", "tests/", "solution/", "steps/", "cheats/"];

export const taskInvalid = (where: string, what: string, cause?: unknown): GymError =>
  new GymError("task_invalid", `${where}: ${what}`, { cause });

/**
 * Every file below `dir`, sorted by path, with its mode reduced to 755 or 644. Caches and editor leftovers are left out.
 * A link, a device or a name that cannot travel in an archive is `task_invalid`.
 */
export async function readTree(dir: string): Promise<FileTree> {
  const found: [string, TaskFile][] = [];
  let bytes = 0;
  const walk = async (below: string): Promise<void> => {
    for (const entry of await readdir(join(dir, below), { withFileTypes: true })) {
      if (ignoredNames.test(entry.name)) continue;
      const path = below === "" ? entry.name : `${below}/${entry.name}`;
      requireSafePath(path, dir);
      if (entry.isDirectory()) {
        await walk(path);
        continue;
      }
      if (!entry.isFile())
        throw taskInvalid(join(dir, path), "only files and folders may be in a task, no links or devices");
      const { mode, size } = await lstat(join(dir, path));
      bytes += size;
      if (bytes > MAX_TREE_BYTES || found.length >= MAX_TREE_FILES)
        throw taskInvalid(dir, `a task may have at most ${MAX_TREE_FILES} files and ${MAX_TREE_BYTES} bytes`);
      found.push([path, { data: await readFile(join(dir, path)), mode: mode & 0o100 ? 0o755 : 0o644 }]);
    }
  };
  await walk("");
  return sortedTree(found);
}

export function sortedTree(entries: Iterable<readonly [string, TaskFile]>): FileTree {
  return new Map([...entries].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}

/** The files below `folder`, with paths relative to it. */
export function subtree(tree: FileTree, folder: string): FileTree {
  const prefix = `${folder}/`;
  return new Map(
    [...tree].filter(([path]) => path.startsWith(prefix)).map(([path, file]) => [path.slice(prefix.length), file]),
  );
}

/**
 * Digest of what makes the task: sha256 over one line `path NUL sha256 LF` per file, sorted, which is the digest that
 * Harbor's packager gives a folder. `cheats/` counts too, so only a folder without cheats has the same digest there.
 */
export function treeDigest(tree: FileTree): Digest {
  const lines = [...tree]
    .filter(([path]) => digestedFiles.has(path) || digestedFolders.some((folder) => path.startsWith(folder)))
    .map(([path, { data }]) => `${path}\0${sha256(data).slice("sha256:".length)}\n`);
  return sha256(lines.join(""));
}

/** Relative, `/` between parts, no `.`, `..`, empty part, backslash or control character. */
export function isSafePath(path: string): boolean {
  if (path === "" || path.length > 1024) return false;
  if (hasControlCharacter(path) || path.includes("\\")) return false;
  return path.split("/").every((part) => part !== "" && part !== "." && part !== "..");
}

function hasControlCharacter(text: string): boolean {
  return Buffer.from(text).some((byte) => byte < 0x20 || byte === 0x7f);
}

export function requireSafePath(path: string, where: string): void {
  if (!isSafePath(path))
    throw taskInvalid(
      where,
      `${JSON.stringify(path)} is not a relative path without "..", backslash or control characters`,
    );
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Null when the bytes are not UTF-8 text. */
export function asText(data: Uint8Array): string | null {
  try {
    return utf8.decode(data);
  } catch {
    return null; // the decoder's only failure: bytes that are not UTF-8
  }
}

export function requireText(file: TaskFile, where: string): string {
  const text = asText(file.data);
  if (text === null) throw taskInvalid(where, "must be UTF-8 text");
  return text;
}
