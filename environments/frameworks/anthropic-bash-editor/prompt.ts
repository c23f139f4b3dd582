import type { TaskView } from "../../../core/framework.ts";
import type { ToolSchema } from "../../../core/messages.ts";
import { workspaceName } from "../primitives/workspace-path.ts";

export const BASH = "bash";
export const EDITOR = "str_replace_based_edit_tool";

export const tools: readonly ToolSchema[] = [
  {
    type: "function",
    function: {
      name: BASH,
      description:
        "Runs a command in a bash session that stays open: working folder, variables and functions last. A command that takes too long, or one that ends the session, makes a restart necessary.",
      parameters: {
        type: "object",
        properties: {
          command: { type: "string", description: "The command; needed unless restart is true" },
          restart: { type: "boolean", description: "true opens a new session" },
        },
        additionalProperties: false,
      },
    },
  },
  {
    type: "function",
    function: {
      name: EDITOR,
      description:
        "Views, creates and edits text files. view shows a file with line numbers, or a folder two levels deep. create writes a new file and never replaces one. str_replace replaces the only place where old_str occurs. insert puts insert_text after line insert_line.",
      parameters: {
        type: "object",
        properties: {
          command: { type: "string", enum: ["view", "create", "str_replace", "insert"] },
          path: { type: "string", description: "Absolute path of a file or folder" },
          file_text: { type: "string", description: "create: the whole text" },
          old_str: { type: "string", description: "str_replace: the text to replace; it must occur exactly once" },
          new_str: { type: "string", description: "str_replace: the new text; left out, the old one is removed" },
          insert_line: { type: "integer", description: "insert: the line to insert after; 0 is the top" },
          insert_text: { type: "string", description: "insert: the text to insert" },
          view_range: {
            type: "array",
            items: { type: "integer" },
            minItems: 2,
            maxItems: 2,
            description: "view: first and last line; -1 as last is the end of the file",
          },
        },
        required: ["command", "path"],
        additionalProperties: false,
      },
    },
  },
];

export const systemPrompt = (workspace: string): string =>
  `You are a software engineer at a Linux machine without network. Your project is in ${workspace}. You have two tools: \`${BASH}\`, a shell session that stays open between calls and starts in ${workspace}, and \`${EDITOR}\`, which views and edits files by absolute path. You may call several tools in one reply; they run in order. Nobody answers questions while you work, and commands must not wait for input.`;

export const taskPrompt = (task: TaskView): string => `${task.instruction.trimEnd()}

The files are in ${workspaceName(task)}; what this folder holds at the end is your result. Look at it with the tools, change it, and check your work by running it. When you are done, reply with a short summary and no tool call: that ends the work.`;
