import { type Sandbox, WORKSPACE } from "../../../core/sandbox.ts";
import { decodeStrict } from "./clip.ts";
import { applyHunks, type FilePatch, parseUnifiedDiff } from "./unified-diff.ts";
import { absolutePath, type PathRoot, pathInside } from "./workspace-path.ts";

export interface PatchedFile {
  readonly path: string;
  readonly change: "added" | "modified" | "deleted" | "renamed" | "copied";
  /** The file it was renamed or copied from. */
  readonly from?: string;
}

/**
 * malformed: not a unified diff · outside: a path leaves the folder · missing: a file to change is not there · exists:
 * a file to add is there · mismatch: a hunk's old lines are nowhere in the file · unsupported: links, binary changes,
 * files that are not UTF-8 text · write_failed: the sandbox refused.
 */
export type PatchErrorCode =
  | "malformed"
  | "outside"
  | "missing"
  | "exists"
  | "mismatch"
  | "unsupported"
  | "write_failed";

export type PatchResult =
  | { readonly ok: true; readonly files: readonly PatchedFile[] }
  | { readonly ok: false; readonly error: PatchErrorCode; readonly path: string | null; readonly message: string };

type Failure = Extract<PatchResult, { ok: false }>;

const failure = (error: PatchErrorCode, path: string | null, message: string): Failure => ({
  ok: false,
  error,
  path,
  message,
});

/** Content and mode of a file after the patch; null content: deleted. */
interface Staged {
  readonly text: string | null;
  readonly mode: number | null;
}

/**
 * Applies a unified diff (plain or git's) to the files below `root`: all of it, or, when any part does not fit, nothing.
 * Only a write that the sandbox refuses midway leaves a part of it. (Default root: /workspace; default alias of it: none)
 */
export async function applyUnifiedDiff(
  sandbox: Sandbox,
  diff: string,
  options: { root?: string; alias?: string | null } = {},
): Promise<PatchResult> {
  const { root: workspace = WORKSPACE, alias = null } = options;
  const root = { workspace, alias };
  const parsed = parseUnifiedDiff(diff);
  if (!parsed.ok) return failure(parsed.reason, null, `line ${parsed.line}: ${parsed.message}`);
  const staged = new Map<string, Staged>();
  const done: PatchedFile[] = [];
  for (const file of parsed.files) {
    const result = await stage(sandbox, { file, root, staged });
    if ("ok" in result) return result;
    done.push(result);
  }
  return (await writeStaged(sandbox, workspace, staged)) ?? { ok: true, files: done };
}

interface StageRequest {
  readonly file: FilePatch;
  readonly root: PathRoot;
  readonly staged: Map<string, Staged>;
}

async function stage(sandbox: Sandbox, { file, root, staged }: StageRequest): Promise<PatchedFile | Failure> {
  const from = file.from === null ? null : pathInside(root, file.from);
  const to = file.to === null ? null : pathInside(root, file.to);
  if ((file.from !== null && from === null) || (file.to !== null && to === null))
    return failure("outside", file.to ?? file.from, `${file.to ?? file.from} is not below ${root.workspace}`);
  const read = async (path: string) => staged.get(path) ?? (await readFile(sandbox, root.workspace, path));
  const old = from === null ? { text: "", mode: null } : await read(from);
  if ("ok" in old) return old;
  if (old.text === null) return failure("missing", from, `${from} is to be changed, but it is not there`);
  const path = to ?? from ?? "";
  if (to !== null && to !== from) {
    const present = await read(to);
    if ("ok" in present) return present;
    if (present.text !== null) return failure("exists", to, `${to} is to be made, but it is there already`);
  }
  const applied = applyHunks(old.text, file.hunks);
  if (!applied.ok)
    return failure(
      "mismatch",
      from,
      `hunk ${applied.hunk} of ${path} (line ${applied.oldStart}): its old lines are not in the file`,
    );
  if (to === null && applied.text !== "")
    return failure("mismatch", from, `${from} is to be deleted, but it has more lines than the diff`);
  if (from !== null && from !== to && file.kind !== "copy") staged.set(from, { text: null, mode: null });
  if (to !== null) staged.set(to, { text: applied.text, mode: file.mode ?? (from === to ? null : old.mode) });
  return described(from, to, file.kind);
}

function described(from: string | null, to: string | null, kind: FilePatch["kind"]): PatchedFile {
  if (to === null) return { path: from ?? "", change: "deleted" };
  if (from === null) return { path: to, change: "added" };
  if (from === to) return { path: to, change: "modified" };
  return { path: to, change: kind === "copy" ? "copied" : "renamed", from };
}

async function readFile(sandbox: Sandbox, root: string, path: string): Promise<Staged | Failure> {
  const bytes = await sandbox.read(absolutePath(root, path));
  if (!bytes.ok && bytes.error === "not_found") return { text: null, mode: null };
  if (!bytes.ok) return failure("unsupported", path, `${path} cannot be read: ${bytes.message}`);
  const text = decodeStrict(bytes.value);
  if (text === null) return failure("unsupported", path, `${path} is not UTF-8 text`);
  const stat = await sandbox.stat(absolutePath(root, path));
  return { text, mode: stat.ok ? stat.value.mode : null };
}

/** Null when all is written. Deletions come first: a folder may take the name of a file that went. */
async function writeStaged(
  sandbox: Sandbox,
  root: string,
  staged: ReadonlyMap<string, Staged>,
): Promise<Failure | null> {
  const ordered = [...staged].sort(([, a], [, b]) => Number(a.text !== null) - Number(b.text !== null));
  for (const [path, { text, mode }] of ordered) {
    const target = absolutePath(root, path);
    const result =
      text === null ? await sandbox.remove(target) : await sandbox.write(target, text, mode === null ? {} : { mode });
    if (!result.ok && !(text === null && result.error === "not_found"))
      return failure("write_failed", path, `${path}: ${result.message}`);
  }
  return null;
}
