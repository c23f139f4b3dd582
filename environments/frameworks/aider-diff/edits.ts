import { type EditBlock, replaceLines, similarLines } from "../primitives/search-replace.ts";
import { type PathRoot, pathInside } from "../primitives/workspace-path.ts";

/** What blocks do to files, and how a failure is told (fixed strings: Aider, Apache-2.0; see NOTICE). Pure. */

/** A text file as blocks see it: lines end in "\n". One whose lines all ended in CRLF gets them back when written. */
export interface ChatFile {
  readonly text: string;
  readonly crlf: boolean;
}

export function openText(raw: string): ChatFile {
  const crlf = raw.includes("\r\n") && !/(^|[^\r])\n|\r(?!\n)/.test(raw);
  return { text: crlf ? raw.replaceAll("\r\n", "\n") : raw, crlf };
}

export const rawText = (file: ChatFile): string => (file.crlf ? file.text.replaceAll("\n", "\r\n") : file.text);

/** Files by path below the workspace; null: there is something, but no text that can be edited. */
export type ChatFiles = Map<string, ChatFile | null>;

export type Applied =
  | { readonly status: "applied"; readonly path: string }
  | { readonly status: "no_match"; readonly block: EditBlock }
  | { readonly status: "outside"; readonly block: EditBlock };

/** Applies one block to `files`; when its own file does not match, those of `chat` are tried. */
export function applyBlock(files: ChatFiles, block: EditBlock, root: PathRoot, chat: readonly string[]): Applied {
  const named = pathInside(root, block.path);
  if (named === null) return { status: "outside", block };
  for (const path of new Set([named, ...chat])) {
    const file = path === named && !files.has(path) && block.search.trim() === "" ? openText("") : files.get(path);
    const edited = file === undefined || file === null ? null : edit(file.text, block);
    if (file && edited !== null) {
      files.set(path, { text: edited, crlf: file.crlf });
      return { status: "applied", path };
    }
  }
  return { status: "no_match", block };
}

/** A SEARCH part without text adds to the end. */
const edit = (text: string, { search, replace }: EditBlock): string | null =>
  search.trim() === "" ? text + replace : replaceLines(text, search, replace);

export interface Failures {
  readonly failed: readonly Exclude<Applied, { status: "applied" }>[];
  readonly passed: number;
  readonly files: ChatFiles;
  readonly root: PathRoot;
}

const blocksWord = (count: number): string => (count === 1 ? "block" : "blocks");

/** The answer to a reply of which some blocks did not apply; the others are in the files. */
export function failureText({ failed, passed, files, root }: Failures): string {
  const parts = failed.map((failure) => {
    const { block } = failure;
    if (failure.status === "outside")
      return `## ${block.path} is not below ${root.workspace}: nothing there can be edited.\n`;
    return matchFailure(block, files.get(pathInside(root, block.path) ?? "")?.text ?? "");
  });
  const rest =
    passed === 0
      ? ""
      : `\n# The other ${passed} SEARCH/REPLACE ${blocksWord(passed)} were applied successfully.\nDon't re-send them.\nJust reply with fixed versions of the ${blocksWord(failed.length)} above that failed to match.\n`;
  return `# ${failed.length} SEARCH/REPLACE ${blocksWord(failed.length)} failed to match!\n\n${parts.join("\n")}
The SEARCH lines must be the same as lines of the file: blanks, indentation, comments and all.
${rest}`;
}

function matchFailure(block: EditBlock, text: string): string {
  const { path, search, replace } = block;
  const similar = similarLines(search, text);
  return [
    `## SearchReplaceNoExactMatch: This SEARCH block failed to exactly match lines in ${path}\n`,
    `<<<<<<< SEARCH\n${search}=======\n${replace}>>>>>>> REPLACE\n`,
    similar === ""
      ? ""
      : `\nDid you mean to match some of these actual lines from ${path}?\n\n\`\`\`\n${similar}\n\`\`\`\n`,
    replace !== "" && text.includes(replace)
      ? `\nAre you sure you need this SEARCH/REPLACE block?\nThe REPLACE lines are already in ${path}!\n`
      : "",
  ].join("");
}
