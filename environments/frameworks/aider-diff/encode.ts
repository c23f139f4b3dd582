import { ProblemError } from "../../../core/errors.ts";
import type { TaskView } from "../../../core/framework.ts";
import type { Intent } from "../../../core/policy.ts";
import { type EditBlock, isMarker, linesOf, parseReply } from "../primitives/search-replace.ts";
import { applyBlock, type ChatFile, type ChatFiles, openText, rawText } from "./edits.ts";

type Write = Extract<Intent, { type: "write" }>;

/**
 * One reply with all blocks. It is read and applied to the task's files as the framework would, and what does not come
 * out exactly is a ProblemError `invalid_cell`: a language made of whole lines cannot say every change.
 */
export function encodeReply(intents: readonly Intent[], task: TaskView): string {
  const files: ChatFiles = new Map([...task.files].map(([path, raw]) => [path, openText(raw)]));
  const parts: string[] = [];
  for (const intent of intents) {
    if (intent.type === "delete" || intent.type === "run")
      throw cannot(`${intent.type} is not a SEARCH/REPLACE block`, "give the task a solution made of files only");
    if (intent.type === "write" && intent.before !== intent.content) parts.push(writeBlocks(intent, files, task));
  }
  return parts.length === 0 ? "Nothing needs to change." : `I make these changes.\n\n${parts.join("\n")}`;
}

const cannot = (detail: string, hint: string): ProblemError =>
  new ProblemError("invalid_cell", `aider.diff: ${detail}`, hint);

function writeBlocks(intent: Write, files: ChatFiles, task: TaskView): string {
  const before = intent.before === null ? undefined : openText(intent.before);
  const crlf = before?.crlf === true;
  const blocks = blocksFor(before, crlf ? openText(intent.content).text : intent.content);
  const names = [intent.path, `./${intent.path}`];
  for (const name of names) {
    const reply = blocks.map((block) => renderBlock(name, block)).join("\n");
    const trial: ChatFiles = new Map(files);
    trial.delete(intent.path);
    if (before !== undefined) trial.set(intent.path, before);
    const after = applyReply(reply, trial, task);
    if (after !== null && rawOf(trial, intent.path) === intent.content && after.every((path) => path === intent.path)) {
      files.set(intent.path, openText(intent.content));
      return reply;
    }
  }
  throw cannot(
    `the change of ${intent.path} cannot be said in whole lines between SEARCH and REPLACE marks`,
    "avoid lines that look like the marks, mixed line ends and odd file names in what the solution changes",
  );
}

const rawOf = (files: ChatFiles, path: string): string | null => {
  const file = files.get(path);
  return file ? rawText(file) : null;
};

/** Paths that the reply's blocks went to; null when one of them did not apply. */
function applyReply(reply: string, files: ChatFiles, task: TaskView): string[] | null {
  const parsed = parseReply(reply, [...task.files.keys()]);
  if (!parsed.ok) return null;
  const results = parsed.blocks.map((block) => applyBlock(files, block, task, []));
  const paths = results.flatMap((result) => (result.status === "applied" ? [result.path] : []));
  return paths.length === results.length && paths.length > 0 ? paths : null;
}

type Change = Omit<EditBlock, "path">;

const renderBlock = (path: string, { search, replace }: Change): string =>
  `${path}\n\`\`\`\n<<<<<<< SEARCH\n${search}=======\n${replace}>>>>>>> REPLACE\n\`\`\`\n`;

/**
 * Lines that look like marks, and a last line without a break, are written with a tag at their end; a block of its own
 * takes each tag away again, by the rule that `...` stands for left-out lines.
 */
function blocksFor(before: ChatFile | undefined, content: string): Change[] {
  const tagOf = freshTags((before?.text ?? "") + content);
  const removals: Change[] = [];
  const lines = linesOf(content).map((line) => {
    const open = !line.endsWith("\n");
    if (!open && !isMarker(line)) return line;
    const tag = tagOf(removals.length);
    removals.push({ search: `...\n${tag}\n`, replace: open ? "...\n" : "...\n\n" });
    return `${open ? line : line.slice(0, -1)}${tag}\n`;
  });
  return [...changeLines(before?.text ?? "", lines, tagOf(removals.length)), ...removals];
}

function freshTags(text: string): (n: number) => string {
  let mark = "#";
  while (text.includes(mark)) mark += "~#";
  return (n) => `${mark}${n}${mark}`;
}

function changeLines(before: string, lines: readonly string[], tag: string): Change[] {
  if (before === "") return [{ search: "", replace: lines.join("") }];
  // Blank text cannot be searched for: the tag is added to its end first.
  const blank = before.trim() === "";
  const first: Change[] = blank ? [{ search: "", replace: `${tag}\n` }] : [];
  const old = linesOf(blank ? `${before}${tag}\n` : before.endsWith("\n") ? before : `${before}\n`);
  return [...first, changedPart(old, lines)];
}

/** The changed lines, with as many unchanged ones around them as make their first place the right one. */
function changedPart(old: readonly string[], now: readonly string[]): Change {
  const shorter = Math.min(old.length, now.length);
  let first = 0;
  while (first < shorter && old[first] === now[first]) first += 1;
  let last = 0;
  while (last < shorter - first && old.at(-1 - last) === now.at(-1 - last)) last += 1;
  const whole = old.join("");
  for (let around = 2; ; around *= 2) {
    const start = Math.max(0, first - around);
    const end = Math.max(0, last - around);
    const search = old.slice(start, old.length - end).join("");
    const place = old.slice(0, start).join("").length;
    const unique = search.trim() !== "" && `\n${whole}`.indexOf(`\n${search}`) === place;
    if (unique || (start === 0 && end === 0)) return { search, replace: now.slice(start, now.length - end).join("") };
  }
}
