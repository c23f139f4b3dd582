import type { ExportOptions, FileErrorCode, FileResult, Submission } from "../../core/sandbox.ts";
import { SubmissionCollector } from "../light/export.ts";
import { Payload } from "../light/frames.ts";
import { type ArchiveFile, readContent } from "./archive-file.ts";
import { typeOf } from "./archive-format.ts";
import type { IndexedEntry } from "./archive-index.ts";

/** What must be told about one path. */
type Change = { readonly path: string; readonly entry: IndexedEntry; readonly deleted: boolean };

const NUMBER_OF_TYPE = { file: 0, directory: 1, symlink: 2, other: 3 } as const;

/**
 * What `now` changed since `base` below `root`. Both archives are data: no path in them is ever opened on this machine. The
 * rules of names and modes are those of every tier (SubmissionCollector).
 */
export async function archiveDifference(
  base: ArchiveFile,
  now: ArchiveFile,
  options: ExportOptions,
): Promise<FileResult<Submission>> {
  const root = options.root.replaceAll(/\/+/g, "/").replace(/\/$/, "");
  const rootBytes = Buffer.from(root).toString("latin1");
  const problem = rootProblem(now, rootBytes, options.root);
  if (problem) return problem;
  const changes = listChanges(base, now, rootBytes);
  if (changes.length > options.maxEntries)
    return failure("too_large", `${options.root}: more than ${options.maxEntries} entries`);
  const bytes = changes.reduce(
    (sum, { entry, deleted }) => sum + (deleted || typeOf(entry.mode) !== "file" ? 0 : entry.size),
    0,
  );
  if (bytes > options.maxBytes)
    return failure("too_large", `${options.root}: more than ${options.maxBytes} bytes of files`);
  const collector = new SubmissionCollector(options.maxBytes);
  for (const change of changes) {
    collector.frame({ id: 0, type: change.deleted ? "Q" : "N", payload: describe(change, rootBytes.length + 1) });
    if (change.deleted || typeOf(change.entry.mode) !== "file" || change.entry.size === 0) continue;
    collector.frame({ id: 0, type: "D", payload: await readContent(now, change.entry) });
  }
  return { ok: true, value: collector.result(options.root) };
}

function failure(error: FileErrorCode, message: string): Extract<FileResult<never>, { ok: false }> {
  return { ok: false, error, message };
}

/** A root outside of what can be written has no differences; one inside must be a folder. */
function rootProblem(now: ArchiveFile, root: string, given: string): Extract<FileResult<never>, { ok: false }> | null {
  const found = now.index.get(root);
  if (found) return typeOf(found.mode) === "directory" ? null : failure("not_a_directory", `${given}: Not a directory`);
  const top = [...now.index.keys()].some((path) => root.startsWith(`${path}/`));
  return top ? failure("not_found", `${given}: No such file or directory`) : null;
}

function listChanges(base: ArchiveFile, now: ArchiveFile, root: string): Change[] {
  const changes: Change[] = [];
  for (const [path, entry] of now.index) {
    if (!path.startsWith(`${root}/`)) continue;
    const old = base.index.get(path);
    if (!old || differs(old, entry)) changes.push({ path, entry, deleted: false });
  }
  for (const [path, entry] of base.index) {
    if (!path.startsWith(`${root}/`) || now.index.has(path)) continue;
    const parent = now.index.get(path.slice(0, path.lastIndexOf("/")));
    // Only the topmost deleted entry is told, and nothing below a folder that became something else.
    if (parent && typeOf(parent.mode) === "directory") changes.push({ path, entry, deleted: true });
  }
  return changes.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

function differs(old: IndexedEntry, entry: IndexedEntry): boolean {
  if ((old.mode & 0o170_777) !== (entry.mode & 0o170_777)) return true;
  const type = typeOf(entry.mode);
  if (type === "directory") return false;
  if (type === "symlink") return Buffer.compare(old.target, entry.target) !== 0;
  return type === "other" || old.size !== entry.size || old.digest !== entry.digest;
}

function describe({ path, entry }: Change, skip: number): Buffer {
  const name = Buffer.from(path, "latin1").subarray(skip);
  const type = typeOf(entry.mode);
  const size = type === "file" ? entry.size : 0;
  const payload = new Payload()
    .u8(NUMBER_OF_TYPE[type])
    .u32(entry.mode & 0o7777)
    .u64(size);
  payload
    .u32(type === "file" ? entry.links : 1)
    .u32(name.length)
    .bytes(name);
  return payload.u32(entry.target.length).bytes(entry.target).frame(0, "N").subarray(9);
}
