import { GymError } from "../../core/errors.ts";
import type { FileResult, Sandbox } from "../../core/sandbox.ts";
import { WORKSPACE } from "../../core/sandbox.ts";
import { type FileTree, hasPlainBase, type ScriptedChange, type Task } from "../../core/task.ts";
import type { ApplyPlan } from "./path-policy.ts";
import { SubjectFault } from "./subject-fault.ts";
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
  readonly task: Pick<Task, "files" | "setup" | "context">;
  readonly root: string;
  /** The other name of the root in the base; null: none. */
  readonly alias: string | null;
}

/** Puts a planned submission on a fresh base. Links come last, so that nothing is written through one. */
export async function applyPlan(sandbox: Sandbox, { plan, task, root, alias }: Applying): Promise<void> {
  for (const path of plan.deleted)
    accept(await sandbox.remove(`${root}/${path}`), path, ["not_found", "not_a_directory"]);
  for (const item of plan.items)
    if (mustGiveWay(item, { task, alias }))
      accept(await sandbox.remove(`${root}/${item.path}`), item.path, ["not_found"]);
  const filled = new Set(plan.items.flatMap((item) => (item.type === "file" ? foldersAbove(item.path) : [])));
  const folders = plan.items.filter((item) => item.type === "directory");
  const bare = folders.filter((item) => item.mode !== 0o755 || !filled.has(item.path));
  await make(
    sandbox,
    bare.flatMap((item) => ["d", ((item.mode & 0o777) | 0o700).toString(8), `${root}/${item.path}`]),
  );
  for (const item of plan.items)
    if (item.type === "file")
      accept(await sandbox.write(`${root}/${item.path}`, item.data, { mode: item.mode & 0o777 }), item.path);
  const links = plan.items.filter((item) => item.type === "symlink");
  await make(
    sandbox,
    links.flatMap((item) => ["l", item.target, `${root}/${item.path}`]),
  );
}

/** Puts trusted files in the workspace, in the place of whatever is there. `links`: the submission's, which must not redirect them. */
export async function applyOverlay(sandbox: Sandbox, files: FileTree, links: readonly string[] = []): Promise<void> {
  for (const link of links)
    if ([...files.keys()].some((path) => path === link || path.startsWith(`${link}/`)))
      accept(await sandbox.remove(`${WORKSPACE}/${link}`), link, ["not_found"]);
  for (const [path, file] of files) {
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

/** True when the base may hold something else at this path: a folder, or whatever its setup made and its image has. */
function mustGiveWay(item: TarItem, { task, alias }: Pick<Applying, "task" | "alias">): boolean {
  const { files } = task;
  if (item.type === "directory") return files.has(item.path);
  return (
    item.type === "symlink" ||
    !hasPlainBase(task, alias) ||
    [...files.keys()].some((path) => path.startsWith(`${item.path}/`))
  );
}

function foldersAbove(path: string): string[] {
  const parts = path.split("/").slice(0, -1);
  return parts.map((_, i) => parts.slice(0, i + 1).join("/"));
}

async function make(sandbox: Sandbox, words: readonly string[]): Promise<void> {
  for (let at = 0; at < words.length; at += 3 * SHELL_BATCH) {
    const batch = words.slice(at, at + 3 * SHELL_BATCH);
    const run = await sandbox.exec({ argv: ["/bin/sh", "-c", MAKE, "sh", ...batch], timeoutMs: APPLY_TIMEOUT_MS });
    if (run.exitCode !== 0)
      throw new SubjectFault("does_not_apply", Buffer.from(run.stderr).toString("utf8").slice(0, 500));
  }
}

/** The submission's own state (no room, a file where a folder belongs) is its fault; what else went wrong is ours. */
function accept(result: FileResult<void>, path: string, fine: readonly string[] = []): void {
  if (result.ok || fine.includes(result.error)) return;
  const detail = `${path}: ${result.message}`;
  if (result.error === "other" || result.error === "busy") throw new GymError("verifier_failed", detail);
  throw new SubjectFault("does_not_apply", detail);
}
