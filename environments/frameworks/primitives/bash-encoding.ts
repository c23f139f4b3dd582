import { posix } from "node:path";
import { ProblemError } from "../../../core/errors.ts";

/** How scripted policies say file changes as bash commands. Every command is one argument of `bash -c`. */

/** Linux refuses a single argument of this many bytes (MAX_ARG_STRLEN), its final zero included. */
export const MAX_ARGUMENT_BYTES = 131_072;
/** Bytes of content in one command: far below the limit of one argument also when written as base64. */
const CHUNK_BYTES = 64 * 1024;

export const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

function makeParent(path: string): string {
  const folder = posix.dirname(path);
  return folder === "." || folder === "/" ? "" : `mkdir -p -- ${quote(folder)} && `;
}

function hereDocument(path: string, content: string): string {
  const lines = new Set(content.split("\n"));
  let mark = "EOF";
  for (let n = 1; lines.has(mark); n++) mark = `EOF_${n}`;
  return `${makeParent(path)}cat > ${quote(path)} <<'${mark}'\n${content}${mark}`;
}

/** Commands that, run in order, leave exactly `content` at `path`: a here-document where text allows it, else base64. */
export function writeCommands(path: string, content: string): string[] {
  const bytes = Buffer.from(content);
  const plain = content.endsWith("\n") && !/[\0\r]/.test(content) && bytes.length <= CHUNK_BYTES;
  if (plain) return [hereDocument(path, content)];
  const commands: string[] = [];
  for (let at = 0; at === 0 || at < bytes.length; at += CHUNK_BYTES) {
    const text = bytes.subarray(at, at + CHUNK_BYTES).toString("base64");
    const before = at === 0 ? makeParent(path) : "";
    commands.push(`${before}printf %s ${quote(text)} | base64 -d ${at === 0 ? ">" : ">>"} ${quote(path)}`);
  }
  return commands;
}

export const deleteCommand = (path: string): string => `rm -rf -- ${quote(path)}`;

/** A script that can neither leave nor change the shell it is said in. */
export function scriptCommand(script: string): string {
  if (Buffer.byteLength(script) >= MAX_ARGUMENT_BYTES)
    throw new ProblemError(
      "invalid_cell",
      `a script of ${Buffer.byteLength(script)} bytes does not fit into one command`,
      `keep a task's scripts below ${MAX_ARGUMENT_BYTES} bytes, or put the data into files`,
    );
  return `bash -c ${quote(script)}`;
}
