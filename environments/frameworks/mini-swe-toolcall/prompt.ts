import type { TaskView } from "../../../core/framework.ts";
import type { ToolSchema } from "../../../core/messages.ts";
import { workspaceName } from "../primitives/workspace-path.ts";

export const SENTINEL = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT";

export const tools: readonly ToolSchema[] = [
  {
    type: "function",
    function: {
      name: "bash",
      description: "Run one bash command",
      parameters: {
        type: "object",
        properties: { command: { type: "string", description: "The command line" } },
        required: ["command"],
        additionalProperties: false,
      },
    },
  },
];

export const systemPrompt = "You solve programming tasks on a Linux machine that you reach through a shell.";

export const taskPrompt = (task: TaskView): string => `<task>
${task.instruction.trimEnd()}
</task>

The files are in ${workspaceName(task)}. Change them there so that the task is solved; only what this folder holds at the end counts.

How to work:
- In every reply say briefly what you think (THOUGHT), then call the tool \`bash\` at least once. Several calls in one reply run one after the other.
- Each command runs in a new subshell that starts in ${task.workspace}. A \`cd\` or \`export\` does not reach the next command; files do. Write \`cd sub && NAME=value command\` where you need both.
- No command can ask you anything: use flags that answer for you, and no editors or pagers.
- A good order: read the relevant files, reproduce the problem, change the source, run it again, try the corner cases.
- Leave existing tests and the project's configuration as they are unless the task is about them.

How to finish:
When the work is done, call \`bash\` with exactly this command and nothing else in it:

echo ${SENTINEL}

It only counts when the command succeeds. Nothing can be done after it.`;

const cutReply =
  "Your reply reached the limit of output tokens and was cut off. Say less in one reply: think shorter, and write long files in several commands.";

/** A reply that cannot be run is answered with this; no command of it was run. */
export const formatError = (error: string, cut: boolean): string => `Tool call error:

<error>
${error}
</error>
${cut ? `\n${cutReply}\n` : ""}
Every reply has to call the tool \`bash\` at least once, with arguments of this form: {"command": "your command"}

When the task is already solved, finish it in the way that the first message describes.`;

export const tooLong =
  "The output of your last command was too long. Print less: look at parts of a file with head, tail or sed, search more narrowly, or send the output to a file and search in that.";
