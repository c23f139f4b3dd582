/** Reading unified diffs, plain and git's, and applying their hunks to text. Pure. */

export interface HunkLine {
  readonly type: "keep" | "remove" | "add";
  /** With its "\n", unless the diff says that the file has none there. */
  readonly text: string;
}

export interface Hunk {
  /** First line in the old file, from 1; 0 when the old side is empty. */
  readonly oldStart: number;
  readonly lines: readonly HunkLine[];
}

export interface FilePatch {
  /** Null: the file is new. */
  readonly from: string | null;
  /** Null: the file is deleted. */
  readonly to: string | null;
  /** copy: `from` stays. */
  readonly kind: "change" | "rename" | "copy";
  /** Permission bits that the diff sets; null when it says nothing of them. */
  readonly mode: number | null;
  readonly hunks: readonly Hunk[];
}

export type ParsedDiff =
  | { readonly ok: true; readonly files: readonly FilePatch[] }
  | { readonly ok: false; readonly reason: DiffFault; readonly line: number; readonly message: string };

/** malformed: not a unified diff · unsupported: a change that is none of text, such as a link's. */
type DiffFault = "malformed" | "unsupported";

class DiffError extends Error {
  readonly line: number;
  readonly reason: DiffFault;
  constructor(line: number, message: string, reason: DiffFault = "malformed") {
    super(message);
    this.line = line;
    this.reason = reason;
  }
}

interface Cursor {
  readonly lines: readonly string[];
  at: number;
}

/** Text between the files of a diff (a mail's head, commit messages) is skipped. */
export function parseUnifiedDiff(diff: string): ParsedDiff {
  const lines = diff.split("\n");
  if (lines.at(-1) === "") lines.pop();
  const cursor: Cursor = { lines, at: 0 };
  const files: FilePatch[] = [];
  try {
    while (cursor.at < lines.length) {
      const line = lines[cursor.at] ?? "";
      if (line.startsWith("diff --git ")) files.push(parseGitFile(cursor));
      else if (startsPlainFile(cursor)) files.push(parsePlainFile(cursor));
      else if (line.startsWith("@@ ")) throw new DiffError(cursor.at + 1, "a hunk without a file header above it");
      else cursor.at += 1;
    }
  } catch (error) {
    if (error instanceof DiffError)
      return { ok: false, reason: error.reason, line: error.line, message: error.message };
    throw error;
  }
  return files.length === 0
    ? { ok: false, reason: "malformed", line: 1, message: "no file header (--- and +++) found" }
    : { ok: true, files };
}

const startsPlainFile = ({ lines, at }: Cursor): boolean =>
  (lines[at] ?? "").startsWith("--- ") && (lines[at + 1] ?? "").startsWith("+++ ");

function parsePlainFile(cursor: Cursor): FilePatch {
  const { from, to } = parseFileLines(cursor);
  if (from === null && to === null) throw new DiffError(cursor.at, "both sides are /dev/null");
  // Without git's header there are no renames: the new name is the file's.
  return { from: from === null ? null : (to ?? from), to, kind: "change", mode: null, hunks: parseHunks(cursor) };
}

interface Names {
  from: string | null;
  to: string | null;
}

/** The `---` and `+++` lines, without the one-letter folders that git puts before the names. */
function parseFileLines(cursor: Cursor): Names {
  const from = nameOf((cursor.lines[cursor.at] ?? "").slice(4), cursor.at + 1);
  const to = nameOf((cursor.lines[cursor.at + 1] ?? "").slice(4), cursor.at + 2);
  cursor.at += 2;
  const usual = (from === null || from.startsWith("a/")) && (to === null || to.startsWith("b/"));
  const mnemonic =
    /^[ciow]\//.test(from ?? "") && /^[ciow]\//.test(to ?? "") && from?.slice(2) === to?.slice(2) && from !== to;
  const cut = (name: string | null): string | null => (name !== null && (usual || mnemonic) ? name.slice(2) : name);
  return { from: cut(from), to: cut(to) };
}

/** A name with git's quotes taken off; what follows a tab is a time stamp. */
function nameOf(text: string, line: number): string | null {
  const name = text.startsWith('"') ? unquote(text, line) : (text.split("\t", 1)[0] ?? "").replace(/\r$/, "").trimEnd();
  return name === "/dev/null" ? null : name;
}

const escapes: Readonly<Record<string, number>> = { a: 7, b: 8, t: 9, n: 10, v: 11, f: 12, r: 13 };

/** C-style quotes, with octal escapes for bytes. */
function unquote(text: string, line: number): string {
  const match = /^"((?:[^"\\]|\\.)*)"/.exec(text);
  if (match?.[1] === undefined) throw new DiffError(line, "a quoted file name does not end");
  const bytes: number[] = [];
  for (const [part] of match[1].matchAll(/\\[0-7]{1,3}|\\.|[^\\]+/gs)) {
    if (!part.startsWith("\\")) bytes.push(...Buffer.from(part));
    else if (/^\\[0-7]/.test(part)) bytes.push(Number.parseInt(part.slice(1), 8) & 255);
    else bytes.push(escapes[part.slice(1)] ?? part.charCodeAt(1));
  }
  return Buffer.from(bytes).toString("utf8");
}

interface GitHead extends Names {
  kind: FilePatch["kind"];
  mode: number | null;
}

function parseGitFile(cursor: Cursor): FilePatch {
  const first = cursor.at;
  const head: GitHead = { ...gitNames(cursor.lines[first] ?? "", first + 1), kind: "change", mode: null };
  for (cursor.at += 1; cursor.at < cursor.lines.length; cursor.at++) {
    const line = cursor.lines[cursor.at] ?? "";
    if (line.startsWith("diff --git ") || line.startsWith("@@ ") || startsPlainFile(cursor)) break;
    if (!readGitHeader(head, line, cursor.at + 1)) break;
  }
  if (startsPlainFile(cursor)) Object.assign(head, parseFileLines(cursor));
  if (head.from === null && head.to === null) throw new DiffError(first + 1, "the file's name is not clear");
  return { ...head, hunks: parseHunks(cursor) };
}

/** Takes in one extended header line; false when it is not one. */
function readGitHeader(head: GitHead, line: string, at: number): boolean {
  const value = (prefix: string): string => nameOf(line.slice(prefix.length), at) ?? "";
  const mode = /^(new file|deleted file|old|new) mode (\d{6})\s*$/.exec(line);
  if (mode?.[2] !== undefined) {
    if (!mode[2].startsWith("100"))
      throw new DiffError(at, `mode ${mode[2]} (a link or a submodule) cannot be applied`, "unsupported");
    if (mode[1] === "new file") head.from = null;
    if (mode[1] === "deleted file") head.to = null;
    if (mode[1] !== "old" && mode[1] !== "deleted file") head.mode = Number.parseInt(mode[2].slice(3), 8);
    return true;
  }
  if (line.startsWith("rename from ")) Object.assign(head, { kind: "rename", from: value("rename from ") });
  else if (line.startsWith("rename to ")) head.to = value("rename to ");
  else if (line.startsWith("copy from ")) Object.assign(head, { kind: "copy", from: value("copy from ") });
  else if (line.startsWith("copy to ")) head.to = value("copy to ");
  else if (line.startsWith("GIT binary patch") || line.startsWith("Binary files "))
    throw new DiffError(at, "a binary change cannot be applied from a diff; send the file itself", "unsupported");
  else return /^(index|similarity index|dissimilarity index) /.test(line);
  return true;
}

/** Both names of `diff --git a/x b/x`; used only when no other line of the header names the file. */
function gitNames(line: string, at: number): Names {
  const rest = line.slice("diff --git ".length).replace(/\r$/, "");
  if (rest.startsWith('"')) {
    const name = unquote(rest, at).replace(/^a\//, "");
    return { from: name, to: name };
  }
  const half = rest.slice(0, (rest.length - 1) / 2).replace(/^a\//, "");
  return rest === `a/${half} b/${half}` ? { from: half, to: half } : { from: null, to: null };
}

function parseHunks(cursor: Cursor): Hunk[] {
  const hunks: Hunk[] = [];
  while ((cursor.lines[cursor.at] ?? "").startsWith("@@ ")) hunks.push(parseHunk(cursor));
  return hunks;
}

const kinds: Readonly<Record<string, HunkLine["type"]>> = { " ": "keep", "-": "remove", "+": "add" };

function parseHunk(cursor: Cursor): Hunk {
  const at = cursor.at + 1;
  const head = /^@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@/.exec(cursor.lines[cursor.at] ?? "");
  if (head === null) throw new DiffError(at, "a hunk header must look like @@ -1,2 +1,3 @@");
  let old = Number(head[2] ?? 1);
  let now = Number(head[4] ?? 1);
  const lines: HunkLine[] = [];
  for (cursor.at += 1; ; cursor.at++) {
    const line = cursor.lines[cursor.at];
    if (line?.startsWith("\\")) {
      const last = lines.pop();
      if (last === undefined)
        throw new DiffError(cursor.at + 1, "a mark of a missing line break stands first in a hunk");
      lines.push({ ...last, text: last.text.replace(/\n$/, "") });
      continue;
    }
    if (old === 0 && now === 0) break;
    if (line === undefined) throw new DiffError(cursor.at, `the hunk of line ${at} is shorter than its header says`);
    // Some tools cut the blank of an empty line.
    const type = line === "" ? "keep" : kinds[line[0] ?? ""];
    if (type === undefined) throw new DiffError(cursor.at + 1, "a hunk line must begin with a blank, + or -");
    if (type !== "add") old -= 1;
    if (type !== "remove") now -= 1;
    if (old < 0 || now < 0) throw new DiffError(cursor.at + 1, `the hunk of line ${at} is longer than its header says`);
    lines.push({ type, text: `${line.slice(1)}\n` });
  }
  return { oldStart: Number(head[1]), lines };
}

export type AppliedHunks =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly hunk: number; readonly oldStart: number };

/**
 * Applies hunks in order. A hunk goes where its old lines are: at the line it names or, since the file may have
 * changed elsewhere, at the nearest other place after the hunk before it. Its lines must agree exactly.
 */
export function applyHunks(text: string, hunks: readonly Hunk[]): AppliedHunks {
  const lines = text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
  const result: string[] = [];
  let next = 0;
  let shift = 0;
  for (const [i, hunk] of hunks.entries()) {
    const old = hunk.lines.filter((line) => line.type !== "add").map((line) => line.text);
    const wanted = (old.length === 0 ? hunk.oldStart : hunk.oldStart - 1) + shift;
    const at = findNearest(lines, old, wanted, next);
    if (at === null) return { ok: false, hunk: i + 1, oldStart: hunk.oldStart };
    shift += at - wanted;
    result.push(
      ...lines.slice(next, at),
      ...hunk.lines.filter((line) => line.type !== "remove").map((line) => line.text),
    );
    next = at + old.length;
  }
  return { ok: true, text: [...result, ...lines.slice(next)].join("") };
}

/** Comparisons before a hunk counts as not found: a diff made to be slow must not hold the worker. */
const MAX_COMPARISONS = 5_000_000;

function findNearest(lines: readonly string[], old: readonly string[], wanted: number, least: number): number | null {
  const most = lines.length - old.length;
  if (old.length === 0) return wanted >= least && wanted <= most ? wanted : null;
  let left = MAX_COMPARISONS;
  const fits = (at: number): boolean => {
    if (at < least || at > most) return false;
    let k = 0;
    while (k < old.length && lines[at + k] === old[k]) k += 1;
    left -= k + 1;
    return k === old.length;
  };
  const reach = Math.max(Math.abs(wanted - least), Math.abs(most - wanted));
  for (let distance = 0; distance <= reach && left > 0; distance++) {
    if (fits(wanted - distance)) return wanted - distance;
    if (distance > 0 && fits(wanted + distance)) return wanted + distance;
  }
  return null;
}
