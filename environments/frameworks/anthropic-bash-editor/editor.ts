import { posix } from "node:path";
import type { FileStat, Sandbox } from "../../../core/sandbox.ts";
import { clipHead, decodeStrict } from "../primitives/clip.ts";
import * as edit from "../primitives/text-edit.ts";
import { EDITOR } from "./prompt.ts";

/** The text editor tool of 2025-07-28, with the answers of its reference implementation (MIT; see NOTICE). */

const COMMANDS = ["view", "create", "str_replace", "insert"] as const;
type Command = (typeof COMMANDS)[number];
/** Lines around an edit in the snippet that shows it. */
const SNIPPET_LINES = 4;
/** A file beyond this is not read: splitting and searching it would hold the worker. */
const MAX_FILE_BYTES = 4 * 1024 * 1024;
/** Entries of a folder listing; what is beyond would be clipped anyway. */
const MAX_ENTRIES = 20_000;

const clipNote =
  "<response clipped><NOTE>Only the first part is shown, to save context. Search with `grep -n` and look at the lines you need.</NOTE>";

export interface EditorOptions {
  readonly sandbox: Sandbox;
  readonly workspace: string;
  readonly maxChars: number;
  /** Tabs become spaces in whatever is matched and written, as the reference does. */
  readonly expandTabs: boolean;
}

type Input = Readonly<Record<string, unknown>>;

export const clip = (text: string, maxChars: number): string => {
  const head = clipHead(text, maxChars);
  return head.clipped ? `${head.text}${clipNote}` : text;
};

/** Path as Python's pathlib writes it: no doubled or final slashes, no `.`, but `..` stays. */
function tidyPath(path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  return (path.startsWith("/") ? "/" : "") + parts.join("/") || ".";
}

/** Answers one call. What cannot be done is the answer, in the tool's words. */
export async function runEditor(input: Input, options: EditorOptions): Promise<string> {
  const command = COMMANDS.find((name) => name === input.command);
  if (command === undefined)
    return `Unrecognized command ${clipHead(String(input.command), 100).text}. The allowed commands for the ${EDITOR} tool are: ${COMMANDS.join(", ")}`;
  if (typeof input.path !== "string" || input.path.includes("\0"))
    return `Parameter \`path\` is required for command: ${command}`;
  const path = tidyPath(input.path);
  if (!path.startsWith("/"))
    return `The path ${path} is not an absolute path, it should start with \`/\`. Maybe you meant ${posix.join(options.workspace, path)}?`;
  const stat = await options.sandbox.stat(path);
  if (!stat.ok && command !== "create") return `The path ${path} does not exist. Please provide a valid path.`;
  if (stat.ok && command === "create")
    return `File already exists at: ${path}. Cannot overwrite files using command \`create\`.`;
  return runCommand(command, path, { input, options, stat: stat.ok ? stat.value : null });
}

interface Call {
  readonly input: Input;
  readonly options: EditorOptions;
  readonly stat: FileStat | null;
}

async function runCommand(command: Command, path: string, call: Call): Promise<string> {
  if (command === "create") return create(path, call);
  if (call.stat?.type === "directory")
    return command === "view"
      ? viewFolder(path, call)
      : `The path ${path} is a directory and only the \`view\` command can be used on directories`;
  const missing = missingParameter(command, call.input);
  if (missing !== null) return `Parameter \`${missing}\` is required for command: ${command}`;
  const read = await readText(path, call.options);
  if (!read.ok) return read.message;
  if (command === "view") return viewFile(path, read.text, call);
  if (command === "str_replace") return replace(path, read.text, call);
  return insert(path, read.text, call);
}

function missingParameter(command: Command, input: Input): string | null {
  if (command === "str_replace" && typeof input.old_str !== "string") return "old_str";
  if (command === "insert" && !Number.isInteger(input.insert_line)) return "insert_line";
  if (command === "insert" && typeof (input.insert_text ?? input.new_str) !== "string") return "insert_text";
  return null;
}

type Read = { readonly ok: true; readonly text: string } | { readonly ok: false; readonly message: string };

async function readText(path: string, { sandbox }: EditorOptions): Promise<Read> {
  const bytes = await sandbox.read(path, { maxBytes: MAX_FILE_BYTES });
  if (!bytes.ok) return { ok: false, message: `Ran into ${bytes.message} while trying to read ${path}` };
  const text = decodeStrict(bytes.value);
  return text === null
    ? { ok: false, message: `Ran into a byte that is not UTF-8 while trying to read ${path}` }
    : { ok: true, text: edit.universalNewlines(text) };
}

/** Null when it is written, else what went wrong. */
async function writeText(path: string, text: string, { sandbox }: EditorOptions): Promise<string | null> {
  const written = await sandbox.write(path, text);
  return written.ok ? null : `Ran into ${written.message} while trying to write to ${path}`;
}

function listing(text: string, of: string, firstLine: number, options: EditorOptions): string {
  const shown = clip(text, options.maxChars);
  const lines = edit.numbered(edit.expandTabs(shown), firstLine);
  return `Here's the result of running \`cat -n\` on ${of}:\n${lines}\n`;
}

async function viewFolder(path: string, { input, options }: Call): Promise<string> {
  if (input.view_range !== undefined && input.view_range !== null)
    return "The `view_range` parameter is not allowed when `path` points to a directory.";
  const entries = await options.sandbox.list(path, { depth: 2, maxEntries: MAX_ENTRIES });
  if (!entries.ok) return `Ran into ${entries.message} while trying to read ${path}`;
  const names = entries.value.map((entry) => entry.path).filter((name) => !/(^|\/)\./.test(name));
  const text = [path, ...names.map((name) => posix.join(path, name))].join("\n");
  return `Here's the files and directories up to 2 levels deep in ${path}, excluding hidden items:\n${clip(text, options.maxChars)}\n`;
}

function viewFile(path: string, text: string, { input, options }: Call): string {
  const range = input.view_range;
  if (range === undefined || range === null) return listing(text, path, 1, options);
  const lines = text.split("\n");
  const checked = checkRange(range, lines.length);
  if (!checked.ok) return checked.message;
  const part = lines.slice(checked.first - 1, checked.last === -1 ? undefined : checked.last);
  return listing(part.join("\n"), path, checked.first, options);
}

type Range =
  | { readonly ok: true; readonly first: number; readonly last: number }
  | { readonly ok: false; readonly message: string };

function checkRange(range: unknown, count: number): Range {
  const bad = (message: string): Range => ({ ok: false, message });
  const numbers = Array.isArray(range) ? range.filter((part): part is number => Number.isInteger(part)) : [];
  const [first, last] = numbers;
  if (!Array.isArray(range) || range.length !== 2 || first === undefined || last === undefined)
    return bad("Invalid `view_range`. It should be a list of two integers.");
  const which = `Invalid \`view_range\`: [${first}, ${last}].`;
  if (first < 1 || first > count)
    return bad(
      `${which} Its first element \`${first}\` should be within the range of lines of the file: [1, ${count}]`,
    );
  if (last > count)
    return bad(
      `${which} Its second element \`${last}\` should be smaller than the number of lines in the file: \`${count}\``,
    );
  if (last !== -1 && last < first)
    return bad(`${which} Its second element \`${last}\` should be larger or equal than its first \`${first}\``);
  return { ok: true, first, last };
}

async function create(path: string, { input, options }: Call): Promise<string> {
  if (typeof input.file_text !== "string") return "Parameter `file_text` is required for command: create";
  return (await writeText(path, input.file_text, options)) ?? `File created successfully at: ${path}`;
}

async function replace(path: string, read: string, { input, options }: Call): Promise<string> {
  const tabs = options.expandTabs ? edit.expandTabs : (text: string) => text;
  const text = tabs(read);
  const old = tabs(String(input.old_str));
  const replacement = tabs(typeof input.new_str === "string" ? input.new_str : "");
  const count = edit.occurrences(text, old);
  const named = clip(old, options.maxChars);
  if (count === 0) return `No replacement was performed, old_str \`${named}\` did not appear verbatim in ${path}.`;
  if (count > 1) {
    const lines = clip(edit.linesWith(text, old).join(", "), options.maxChars);
    return `No replacement was performed. Multiple occurrences of old_str \`${named}\` in lines [${lines}]. Please ensure it is unique`;
  }
  const edited = edit.replaceOnce(text, old, replacement, SNIPPET_LINES);
  const failed = await writeText(path, edited.text, options);
  if (failed !== null) return failed;
  const shown = listing(edited.snippet, `a snippet of ${path}`, edited.snippetLine, options);
  return `The file ${path} has been edited. ${shown}Review the changes and make sure they are as expected. Edit the file again if necessary.`;
}

async function insert(path: string, read: string, { input, options }: Call): Promise<string> {
  const tabs = options.expandTabs ? edit.expandTabs : (text: string) => text;
  const text = tabs(read);
  const added = tabs(String(input.insert_text ?? input.new_str));
  const after = Number(input.insert_line);
  const count = text.split("\n").length;
  if (after < 0 || after > count)
    return `Invalid \`insert_line\` parameter: ${after}. It should be within the range of lines of the file: [0, ${count}]`;
  const edited = edit.insertLines(text, after, added, SNIPPET_LINES);
  const failed = await writeText(path, edited.text, options);
  if (failed !== null) return failed;
  const shown = listing(edited.snippet, "a snippet of the edited file", edited.snippetLine, options);
  return `The file ${path} has been edited. ${shown}Review the changes and make sure they are as expected (correct indentation, no duplicate lines, etc). Edit the file again if necessary.`;
}
