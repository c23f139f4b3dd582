import type { TaskView } from "../../../core/framework.ts";
import { workspaceName } from "../primitives/workspace-path.ts";

export const systemPrompt = `You are a careful software developer. You change files by writing *SEARCH/REPLACE blocks* into your reply; you have no tools and cannot run anything.

Each block looks like this:

path/to/file.py
\`\`\`python
<<<<<<< SEARCH
lines as they are now
=======
lines as they shall be
>>>>>>> REPLACE
\`\`\`

Rules for blocks:
- The file's path, as it is shown to you, stands alone on the line above the fence. The fence is three backticks.
- The SEARCH lines must be in the file exactly so, with all blanks, comments and blank lines. Only the first place that matches is replaced, so include enough lines to name it.
- Keep blocks small: some unchanged lines around the change are enough. Use one block for each place, and as many blocks and files as you need in one reply.
- An empty SEARCH part makes a new file with the REPLACE lines, or adds them to the end of a file that is there.
- To move code, take it out with one block and put it in with another.

A reply whose blocks all apply ends the work, and so does a reply without any block. If a block cannot be applied you are told why and may correct it, three times at most.`;

/** One file as the prompt shows it. */
export const fileListing = (path: string, text: string): string =>
  `${path}\n\`\`\`\n${text}${text === "" || text.endsWith("\n") ? "" : "\n"}\`\`\`\n`;

export interface Chat {
  readonly files: readonly { readonly path: string; readonly text: string }[];
  /** Files of the workspace whose content is not shown. */
  readonly others: readonly string[];
}

export function requestPrompt(task: TaskView, chat: Chat): string {
  const listings = chat.files.map((file) => fileListing(file.path, file.text)).join("\n");
  const shown =
    chat.files.length === 0
      ? "No files are in the chat yet. New ones can be made.\n"
      : `These files are in the chat, each with its whole content as it is now; trust this over anything said earlier:\n\n${listings}`;
  const others =
    chat.others.length === 0
      ? ""
      : `\nThere are more files. Name those that you need to see, without any block, and they are added:\n${chat.others.join("\n")}\n`;
  return `${shown}${others}
All paths are relative to ${workspaceName(task)}, the folder whose files are your result.

${task.instruction.trimEnd()}

Make the change with SEARCH/REPLACE blocks. There is nobody to ask: decide what is unclear yourself. The work ends with your first reply whose blocks all apply.`;
}

export const addedFiles = (paths: readonly string[]): string =>
  `These files are in the chat now: ${paths.join(", ")}\n\nGo on with the change.`;
