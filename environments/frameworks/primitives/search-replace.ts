/** SEARCH/REPLACE blocks: reading them out of a reply, and finding their place in a file. Pure. */

export interface EditBlock {
  readonly path: string;
  readonly search: string;
  readonly replace: string;
}

export type ParsedReply =
  | { readonly ok: true; readonly blocks: readonly EditBlock[] }
  | { readonly ok: false; readonly error: string };

const FENCE = "```";
const HEAD = /^<{5,9} SEARCH>?$/;
const DIVIDER = /^={5,9}$/;
const UPDATED = /^>{5,9} REPLACE$/;
const SHELL = /^```(bash|sh|shell|cmd|batch|powershell|ps1|zsh|fish|ksh|csh|tcsh)/;

/** True for a line that a block could not hold as text. */
export const isMarker = (line: string): boolean => [HEAD, DIVIDER, UPDATED].some((mark) => mark.test(line.trim()));

/** Lines with their "\n"; a last line without one counts too. */
export const linesOf = (text: string): string[] => text.match(/[^\n]*\n|[^\n]+$/g) ?? [];

const matches = (mark: RegExp, line: string | undefined): boolean => line !== undefined && mark.test(line.trim());

/** `files` are the paths the reply may name in a short form. One malformed block makes the whole reply an error. */
export function parseReply(reply: string, files: readonly string[]): ParsedReply {
  const lines = linesOf(reply);
  const blocks: EditBlock[] = [];
  let current: string | null = null;
  for (let i = 0; i < lines.length; i++) {
    const line = (lines[i] ?? "").trim();
    if (SHELL.test(line) && !matches(HEAD, lines[i + 1]) && !matches(HEAD, lines[i + 2])) {
      i += 1;
      while (i < lines.length && !(lines[i] ?? "").trim().startsWith(FENCE)) i += 1;
      continue;
    }
    if (!HEAD.test(line)) continue;
    const makesFile = matches(DIVIDER, lines[i + 1]);
    current = findPath(lines.slice(Math.max(0, i - 3), i), makesFile ? [] : files) ?? current;
    const end = blockEnd(lines, i);
    const error = current === null ? badPath : end.error;
    if (error !== null)
      return { ok: false, error: `${lines.slice(0, (current === null ? i : end.at) + 1).join("")}\n^^^ ${error}` };
    blocks.push({
      path: current ?? "",
      search: lines.slice(i + 1, end.divider).join(""),
      replace: lines.slice(end.divider + 1, end.at).join(""),
    });
    i = end.at;
  }
  return { ok: true, blocks };
}

const badPath = `Bad/missing filename. The filename must be alone on the line before the opening fence ${FENCE}`;

interface BlockEnd {
  readonly divider: number;
  readonly at: number;
  readonly error: string | null;
}

function blockEnd(lines: readonly string[], head: number): BlockEnd {
  const found = (from: number, test: (line: string) => boolean): number => {
    let i = from;
    while (i < lines.length && !test(lines[i] ?? "")) i += 1;
    return i;
  };
  const divider = found(head + 1, (line) => matches(DIVIDER, line));
  if (divider >= lines.length) return { divider, at: divider, error: "Expected `=======`" };
  const at = found(divider + 1, (line) => matches(UPDATED, line) || matches(DIVIDER, line));
  return { divider, at, error: at >= lines.length ? "Expected `>>>>>>> REPLACE` or `=======`" : null };
}

/** The path in the up to three lines before a block: the nearest one, above fences only. */
function findPath(before: readonly string[], files: readonly string[]): string | null {
  const names: string[] = [];
  for (const line of before.toReversed()) {
    const name = pathIn(line);
    if (name !== "") names.push(name);
    if (!line.startsWith(FENCE)) break;
  }
  const exact = names.find((name) => files.includes(name));
  if (exact !== undefined) return exact;
  const short = names.flatMap((name) => files.find((file) => file.endsWith(`/${name}`) && !name.includes("/")) ?? []);
  return short[0] ?? names.find((name) => name.includes(".")) ?? names[0] ?? null;
}

/** Longest path of Linux; also keeps the patterns below from a line made to be slow. */
const MAX_PATH = 4096;

function pathIn(line: string): string {
  const text = line.trim();
  if (text === "..." || text.length > MAX_PATH) return "";
  if (text.startsWith(FENCE)) {
    const rest = text.slice(FENCE.length);
    return /[./]/.test(rest) ? rest : "";
  }
  return text
    .replace(/:+$/, "")
    .replace(/^#+/, "")
    .trim()
    .replace(/^`+|`+$/g, "")
    .replace(/^\*+|\*+$/g, "");
}

/** Comparisons of one search before it gives up: a reply made to be slow must not hold the worker. */
const MAX_COMPARISONS = 5_000_000;

/**
 * The text with the first place that `search` names replaced; null when there is none. Tried in this order: the exact
 * lines, the lines with another common indentation, both again without a blank first line, and `...` for left-out lines.
 */
export function replaceLines(text: string, search: string, replacement: string): string | null {
  const whole = linesOf(withLastBreak(text));
  const part = linesOf(withLastBreak(search));
  const next = linesOf(withLastBreak(replacement));
  const found = replaceExact(whole, part, next) ?? replaceIndented(whole, part, next);
  if (found !== null) return found;
  if (part.length > 2 && (part[0] ?? "").trim() === "") {
    const shorter = part.slice(1);
    const again = replaceExact(whole, shorter, next) ?? replaceIndented(whole, shorter, next);
    if (again !== null) return again;
  }
  return replaceElided(whole.join(""), part, next);
}

const withLastBreak = (text: string): string => (text === "" || text.endsWith("\n") ? text : `${text}\n`);

/** Index of the first place where all of `part` agrees; null when there is none. */
function findLines(
  whole: readonly string[],
  part: readonly string[],
  agree: (i: number) => boolean = () => true,
): number | null {
  let left = MAX_COMPARISONS;
  for (let i = 0; i + part.length <= whole.length; i++) {
    let k = 0;
    while (k < part.length && whole[i + k] === part[k]) k += 1;
    left -= k + 1;
    if (left < 0) return null;
    if (k === part.length && agree(i)) return i;
  }
  return null;
}

const splice = (whole: readonly string[], at: number, count: number, next: readonly string[]): string =>
  [...whole.slice(0, at), ...next, ...whole.slice(at + count)].join("");

function replaceExact(whole: readonly string[], part: readonly string[], next: readonly string[]): string | null {
  const at = findLines(whole, part);
  return at === null ? null : splice(whole, at, part.length, next);
}

function replaceIndented(whole: readonly string[], part: readonly string[], next: readonly string[]): string | null {
  const written = [...part, ...next].filter((line) => line.trim() !== "");
  const outdent = written.reduce((least, line) => Math.min(least, line.length - line.trimStart().length), Infinity);
  const shift = (lines: readonly string[]) =>
    outdent === Infinity ? lines : lines.map((line) => (line.trim() === "" ? line : line.slice(outdent)));
  const shifted = shift(part);
  const indentAt = (at: number): string | null => {
    const indents = new Set<string>();
    shifted.forEach((line, k) => {
      const own = whole[at + k] ?? "";
      if (own.trim() !== "") indents.add(own.slice(0, own.length - line.length));
    });
    return indents.size === 1 ? ([...indents][0] ?? null) : null;
  };
  const trimmed = whole.map((line) => line.trimStart());
  const at = findLines(
    trimmed,
    shifted.map((line) => line.trimStart()),
    (i) => indentAt(i) !== null,
  );
  const indent = at === null ? null : indentAt(at);
  if (at === null || indent === null) return null;
  const lines = shift(next).map((line) => (line.trim() === "" ? line : indent + line));
  return splice(whole, at, part.length, lines);
}

interface Pieces {
  readonly texts: readonly string[];
  readonly dots: readonly string[];
}

/** The texts between lines of `...`; blank lines before such a line belong to it. */
function piecesOf(lines: readonly string[]): Pieces {
  const texts: string[] = [];
  const dots: string[] = [];
  let start = 0;
  lines.forEach((line, i) => {
    if (line.trimStart() !== "...\n") return;
    let from = i;
    while (from > start && (lines[from - 1] ?? "").trim() === "") from -= 1;
    texts.push(lines.slice(start, from).join(""));
    dots.push(lines.slice(from, i + 1).join(""));
    start = i + 1;
  });
  return { texts: [...texts, lines.slice(start).join("")], dots };
}

function replaceElided(whole: string, part: readonly string[], next: readonly string[]): string | null {
  const old = piecesOf(part);
  const now = piecesOf(next);
  if (old.dots.length === 0 || old.dots.join("\0") !== now.dots.join("\0")) return null;
  let text = whole;
  for (const [i, from] of old.texts.entries()) {
    const to = now.texts[i] ?? "";
    if (from === "" && to === "") continue;
    if (from === "") text = withLastBreak(text) + to;
    else {
      const at = text.indexOf(from);
      if (at < 0 || text.includes(from, at + from.length)) return null;
      text = text.slice(0, at) + to + text.slice(at + from.length);
    }
  }
  return text;
}

/** The lines of `text` most like `search`, with some around them; empty when nothing is like it. */
export function similarLines(search: string, text: string): string {
  const wanted = search.split("\n").filter((line, i, all) => i < all.length - 1 || line !== "");
  const lines = text.split("\n");
  if (wanted.length === 0 || wanted.length * wanted.length * lines.length > MAX_COMPARISONS) return "";
  let best = { ratio: 0, at: 0 };
  for (let at = 0; at + wanted.length <= lines.length; at++) {
    const ratio = commonLines(wanted, lines.slice(at, at + wanted.length)) / wanted.length;
    if (ratio > best.ratio) best = { ratio, at };
  }
  if (best.ratio < 0.6) return "";
  const end = best.at + wanted.length;
  if (lines[best.at] === wanted[0] && lines[end - 1] === wanted.at(-1)) return lines.slice(best.at, end).join("\n");
  return lines.slice(Math.max(0, best.at - 5), end + 5).join("\n");
}

/** Length of the longest common subsequence. */
function commonLines(a: readonly string[], b: readonly string[]): number {
  let row: number[] = [0, ...b.map(() => 0)];
  for (const line of a) {
    const next = [0];
    b.forEach((other, j) => {
      next.push(line === other ? (row[j] ?? 0) + 1 : Math.max(row[j + 1] ?? 0, next[j] ?? 0));
    });
    row = next;
  }
  return row.at(-1) ?? 0;
}
