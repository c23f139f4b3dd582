import { posix } from "node:path";
import { GymError } from "../../core/errors.ts";
import { sha256 } from "../../core/ids.ts";
import type { Submission } from "../../core/sandbox.ts";
import type { Task } from "../../core/task.ts";
import type { Flag } from "../../core/verifier.ts";
import { isWithin } from "../../core/workdir.ts";
import { protectionOf } from "./protected-names.ts";
import { readTar, type TarItem } from "./tar-reader.ts";

/** What of a submission is applied to a fresh base, and what was left out. */
export interface ApplyPlan {
  readonly deleted: readonly string[];
  readonly items: readonly TarItem[];
  readonly flags: readonly Flag[];
}

/** Flags of one name; a submission can be made of nothing but violations. */
const MAX_FLAGS_PER_NAME = 20;

/**
 * The path policy (P2) and the protection of names that tools obey (P3), as data: nothing is opened, nothing is written.
 * What may not be applied is left out and flagged, so that the base's own files stay. An archive that does not agree with
 * its manifest is our failure. `alias`: the other name that the base has for the submission's root, a link. (Default: none)
 */
export function planSubmission(
  submission: Submission,
  task: Pick<Task, "files" | "allowedProtected">,
  alias: string | null = null,
): ApplyPlan {
  const content = readTar(submission.tar);
  checkManifest(submission, content.items);
  const { files, allowedProtected } = task;
  const guarded = new Set([...files.keys()].filter((path) => protectionOf(path, allowedProtected) === "protected"));
  const base: Base = { files, allowedProtected, guarded, root: submission.root, alias };
  const flags = new FlagList();
  for (const { path, reason } of content.refused) flags.add("refused_entry", `${path}: ${reason}`);
  const items = admitted(content.items, base, flags);
  const deleted = submission.manifest.filter((entry) => entry.type === "deleted").map(({ path }) => path);
  flagCollisions(items, base, flags);
  return { items, deleted: deleted.flatMap((path) => admittedDeletion(path, base, flags)), flags: flags.list };
}

export class FlagList {
  readonly list: Flag[] = [];

  add(name: string, detail: string): void {
    if (this.list.filter((flag) => flag.name === name).length < MAX_FLAGS_PER_NAME)
      this.list.push({ name, detail: detail.slice(0, 500) });
  }
}

function checkManifest({ manifest }: Submission, items: readonly TarItem[]): void {
  const expected = new Map(manifest.filter(({ type }) => type !== "deleted").map((entry) => [entry.path, entry]));
  for (const item of items) {
    const entry = expected.get(item.path);
    if (entry === undefined || entry.type !== item.type)
      throw new GymError("verifier_failed", `the archive has ${item.path}, the manifest does not`);
    if (item.type === "file" && entry.sha256 !== sha256(item.data))
      throw new GymError("verifier_failed", `${item.path} is not the file of the manifest`);
  }
}

interface Base {
  readonly files: Task["files"];
  readonly allowedProtected: readonly string[];
  /** Its files that an attempt may not change. */
  readonly guarded: ReadonlySet<string>;
  readonly root: string;
  readonly alias: string | null;
}

function admitted(items: readonly TarItem[], base: Base, flags: FlagList): TarItem[] {
  const seen = new Set<string>();
  return items.filter((item) => {
    const refusal = refusalOf(item, seen, base);
    seen.add(item.path);
    if (refusal !== null && refusal !== "leftover") flags.add(refusal, item.path);
    return refusal === null;
  });
}

function refusalOf(item: TarItem, seen: ReadonlySet<string>, base: Base): string | null {
  if (!isContained(item.path)) return "path_escape";
  if (seen.has(item.path)) return "duplicate_path";
  if (item.type !== "symlink" && (item.mode & 0o7000) !== 0 && item.type === "file") return "special_mode";
  if (item.type === "symlink" && !linkStaysInside(item, base)) return "symlink_escape";
  const protection = protectionOf(item.path, base.allowedProtected);
  if (protection === "leftover") return "leftover";
  // A folder in the place of such a file would take it away, too.
  if (foldersOf(item).some((folder) => base.guarded.has(folder))) return "protected_path";
  if (item.type === "directory") return null;
  if (protection === "protected" || guardedBelow(item.path, base).length > 0) return "protected_path";
  return null;
}

export function isContained(path: string): boolean {
  return (
    path.length <= 4096 &&
    !path.includes("\0") &&
    path.split("/").every((part) => part !== "" && part !== "." && part !== "..")
  );
}

/** The folders that an item needs: those above it and, of a folder, itself. The topmost comes first. */
export function foldersOf({ type, path }: Pick<TarItem, "type" | "path">): string[] {
  const parts = path.split("/");
  return parts.slice(0, type === "directory" ? undefined : -1).map((_, i) => parts.slice(0, i + 1).join("/"));
}

function linkStaysInside({ path, target }: Extract<TarItem, { type: "symlink" }>, { root, alias }: Base): boolean {
  if (target.includes("\0")) return false;
  // Behind a link `..` leads elsewhere than it reads.
  if (alias !== null && isWithin(alias, target)) return !target.split("/").includes("..");
  return isWithin(root, posix.resolve(root, posix.dirname(path), target));
}

/** The base's protected files below a folder: deleting or replacing the folder would take them away. */
const guardedBelow = (folder: string, base: Base): string[] =>
  [...base.guarded].filter((path) => path.startsWith(`${folder}/`));

function admittedDeletion(path: string, base: Base, flags: FlagList): string[] {
  if (!isContained(path)) {
    flags.add("path_escape", path);
    return [];
  }
  const protection = protectionOf(path, base.allowedProtected);
  if (protection === "leftover") return [];
  if (protection === "protected") {
    flags.add("protected_path", `${path} (deleted)`);
    return [];
  }
  const kept = new Set(guardedBelow(path, base));
  if (kept.size === 0) return [path];
  for (const name of kept) flags.add("protected_path", `${name} (deleted)`);
  return [...base.files.keys()].filter((name) => name.startsWith(`${path}/`) && !kept.has(name));
}

/** Two names that some file system would take for one. */
function flagCollisions(items: readonly TarItem[], base: Base, flags: FlagList): void {
  const folded = new Map<string, string>();
  for (const path of [...base.files.keys(), ...items.map((item) => item.path)]) {
    const key = path.normalize("NFKC").toLowerCase();
    const other = folded.get(key);
    if (other !== undefined && other !== path) flags.add("case_collision", `${other} and ${path}`);
    folded.set(key, path);
  }
}
