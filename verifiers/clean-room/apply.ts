import { GymError } from "../../core/errors.ts";
import type { Sandbox } from "../../core/sandbox.ts";
import { WORKSPACE } from "../../core/sandbox.ts";
import type { FileTree, ScriptedChange, Task } from "../../core/task.ts";
import type { Flag } from "../../core/verifier.ts";
import { isWithin } from "../../core/workdir.ts";
import { clearWay } from "./clear-way.ts";
import { type ApplyPlan, foldersOf } from "./path-policy.ts";
import { accept, SubjectFault } from "./subject-fault.ts";
import type { TarItem } from "./tar-reader.ts";

const APPLY_TIMEOUT_MS = 60_000;
const GOLD_TIMEOUT_MS = 300_000;
/** Entries of one shell call: keeps its arguments well below what the kernel takes. */
const SHELL_BATCH = 100;

/** Makes folders and links: `d mode path` and `l target path`, in the order given. */
const MAKE = `while [ $# -gt 0 ]; do
  case "$1" in
    d) mkdir -p -- "$3" && chmod "$2" -- "$3" || exit 1 ;;
    l) ln -sn -- "$2" "$3" || exit 1 ;;
  esac
  shift 3
done`;

export interface Applying {
  readonly plan: ApplyPlan;
  readonly task: Pick<Task, "files" | "allowedProtected">;
  readonly root: string;
  /** The base's workspace holds the task's own files and nothing else. */
  readonly plain: boolean;
}

/**
 * Puts a planned submission on a fresh base. Nothing is written through a link: those that the base has are out of the way
 * before anything is written, those of the submission come last. Answers what only the base could tell was to be left out.
 */
export async function applyPlan(sandbox: Sandbox, applying: Applying): Promise<readonly Flag[]> {
  const { root } = applying;
  const { items, flags } = await (applying.plain ? clearOwnFiles(sandbox, applying) : clearWay(sandbox, applying));
  const filled = new Set(items.flatMap((item) => (item.type === "file" ? foldersOf(item) : [])));
  const folders = items.filter((item) => item.type === "directory");
  const bare = folders.filter((item) => item.mode !== 0o755 || !filled.has(item.path));
  await make(
    sandbox,
    bare.flatMap((item) => ["d", ((item.mode & 0o777) | 0o700).toString(8), `${root}/${item.path}`]),
  );
  for (const item of items)
    if (item.type === "file")
      accept(await sandbox.write(`${root}/${item.path}`, item.data, { mode: item.mode & 0o777 }), item.path);
  const links = items.filter((item) => item.type === "symlink");
  await make(
    sandbox,
    links.flatMap((item) => ["l", item.target, `${root}/${item.path}`]),
  );
  return flags;
}

/** Where the task tells what the base has, nothing needs to be looked at. */
async function clearOwnFiles(
  sandbox: Sandbox,
  { plan, task, root }: Applying,
): Promise<Pick<ApplyPlan, "items" | "flags">> {
  for (const path of plan.deleted)
    accept(await sandbox.remove(`${root}/${path}`), path, ["not_found", "not_a_directory"]);
  for (const item of plan.items)
    if (mustGiveWay(item, task)) accept(await sandbox.remove(`${root}/${item.path}`), item.path, ["not_found"]);
  return { items: plan.items, flags: [] };
}

export interface Overlay {
  readonly files: FileTree;
  /** Paths that are to hold the trusted files and nothing else. (Default: none) */
  readonly cleared?: readonly string[];
  /** The submission's links, which must not redirect them. (Default: none) */
  readonly links?: readonly string[];
  /** There is no file or link but of the task and the submission. */
  readonly plain: boolean;
}

/**
 * Puts trusted files in the workspace, in the place of whatever is there. A folder that is a link of the base, and not of the
 * submission, stays one: what it leads to is the task's own.
 */
export async function applyOverlay(
  sandbox: Sandbox,
  { files, cleared = [], links = [], plain }: Overlay,
): Promise<void> {
  const places = [...files.keys(), ...cleared];
  for (const link of links)
    if (places.some((path) => isWithin(link, path)))
      accept(await sandbox.remove(`${WORKSPACE}/${link}`), link, ["not_found"]);
  for (const path of cleared) accept(await sandbox.remove(`${WORKSPACE}/${path}`), path, ["not_found"]);
  for (const [path, file] of files) {
    // A link of the base would lead the file into another one's place.
    if (!plain && !cleared.some((place) => isWithin(place, path)))
      accept(await sandbox.remove(`${WORKSPACE}/${path}`), path, ["not_found"]);
    const written = await sandbox.write(`${WORKSPACE}/${path}`, file.data, { mode: file.mode });
    if (written.ok) continue;
    // A folder of the submission may stand where a trusted file belongs.
    accept(await sandbox.remove(`${WORKSPACE}/${path}`), path, ["not_found"]);
    accept(await sandbox.write(`${WORKSPACE}/${path}`, file.data, { mode: file.mode }), path);
  }
}

/** Applies a task's gold to a fresh base. What fails here is ours. */
export async function applyGold(sandbox: Sandbox, gold: ScriptedChange): Promise<void> {
  for (const [path, file] of gold.files) {
    const written = await sandbox.write(`${WORKSPACE}/${path}`, file.data, { mode: file.mode });
    if (!written.ok) throw new GymError("verifier_failed", `gold: ${path} could not be written: ${written.message}`);
  }
  for (const path of gold.deleted) {
    const removed = await sandbox.remove(`${WORKSPACE}/${path}`);
    if (!removed.ok) throw new GymError("verifier_failed", `gold: ${path} could not be deleted: ${removed.message}`);
  }
  if (gold.script === null) return;
  const run = await sandbox.exec({ argv: ["bash", "-c", gold.script], timeoutMs: GOLD_TIMEOUT_MS });
  if (run.exitCode !== 0)
    throw new GymError("verifier_failed", `gold: its script ended with ${run.signal ?? run.exitCode}`);
}

/** True when a plain base may hold something else at this path. */
function mustGiveWay(item: TarItem, { files }: Pick<Task, "files">): boolean {
  if (item.type === "directory") return files.has(item.path);
  return item.type === "symlink" || [...files.keys()].some((path) => path.startsWith(`${item.path}/`));
}

async function make(sandbox: Sandbox, words: readonly string[]): Promise<void> {
  for (let at = 0; at < words.length; at += 3 * SHELL_BATCH) {
    const batch = words.slice(at, at + 3 * SHELL_BATCH);
    const run = await sandbox.exec({ argv: ["/bin/sh", "-c", MAKE, "sh", ...batch], timeoutMs: APPLY_TIMEOUT_MS });
    if (run.exitCode !== 0)
      throw new SubjectFault("does_not_apply", Buffer.from(run.stderr).toString("utf8").slice(0, 500));
  }
}
