import * as z from "zod";
import type {
  Framework,
  FrameworkContext,
  FrameworkSession,
  StepContext,
  TaskView,
  Turn,
} from "../../../core/framework.ts";
import type { Json } from "../../../core/json.ts";
import type { Action, AssistantMessage, Message, ToolCall } from "../../../core/messages.ts";
import type { Intent } from "../../../core/policy.ts";
import { deleteCommand, writeCommands } from "../primitives/bash-encoding.ts";
import { clipHead, clipMiddle } from "../primitives/clip.ts";
import { type BashOutcome, runBash } from "../primitives/exec.ts";
import { callMessages, parseArguments, toolMessage } from "../primitives/tool-call.ts";
import { formatError, SENTINEL, systemPrompt, taskPrompt, tooLong, tools } from "./prompt.ts";

const Config = z.strictObject({
  timeout_s: z
    .number()
    .positive()
    .max(3600)
    .default(60)
    .describe("time of one command; the episode's tool_s bounds it too"),
  output_chars: z.int().min(200).max(1_000_000).default(10_000).describe("longer output is shown as head and tail"),
  max_consecutive_format_errors: z.int().min(1).max(100).default(3),
});
type Config = z.infer<typeof Config>;

const State = z.strictObject({ formatErrors: z.int().min(0) });

const environment = { PAGER: "cat", MANPAGER: "cat", LESS: "-R", PIP_PROGRESS_BAR: "off", TQDM_DISABLE: "1" };

const notExecuted: BashOutcome = { output: "", droppedBytes: 0, returncode: -1, exception: "action was not executed" };

/** The source's XML form of an observation. `maxChars` bounds the output, not the tags around it. */
export function renderOutcome(outcome: BashOutcome, maxChars: number): string {
  const head =
    (outcome.exception === null ? "" : `<exception>${outcome.exception}</exception>\n`) +
    `<returncode>${outcome.returncode}</returncode>\n`;
  const middle = clipMiddle(outcome.output, maxChars);
  if (middle === null) return `${head}<output>\n${outcome.output}</output>`;
  const elided = middle.elided + outcome.droppedBytes;
  return (
    `${head}<warning>\n${tooLong}\n</warning>\n<output_head>\n${middle.head}\n</output_head>\n` +
    `<elided_chars>\n${elided} characters elided\n</elided_chars>\n<output_tail>\n${middle.tail}\n</output_tail>`
  );
}

/** The sentinel alone on the first line, and a clean exit: a program that prints it later or fails does not submit. */
export function submits(outcome: BashOutcome): boolean {
  const first = outcome.output.trimStart().split("\n", 1)[0] ?? "";
  return outcome.returncode === 0 && first.trim() === SENTINEL;
}

type Parsed = { readonly ok: true; readonly command: string } | { readonly ok: false; readonly error: string };

function parseCall(call: ToolCall): Parsed {
  const parsed = parseArguments(call);
  const command = parsed.ok ? parsed.value.command : undefined;
  const errors = [
    parsed.ok ? "" : `Error parsing tool call arguments: ${parsed.error}.`,
    call.function.name === "bash" ? "" : `Unknown tool '${clipHead(call.function.name, 100).text}'.`,
    command === undefined ? "Missing 'command' argument in bash tool call." : "",
    command === undefined || typeof command === "string" ? "" : "The 'command' argument must be a string.",
  ];
  const error = errors.filter((text) => text !== "").join(" ");
  return error === "" && typeof command === "string" ? { ok: true, command } : { ok: false, error };
}

const noCalls = "No tool calls found in the response. Every response MUST include at least one tool call.";

class MiniSession implements FrameworkSession {
  readonly opening: Turn;
  readonly #context: FrameworkContext;
  readonly #config: Config;
  #formatErrors: number;

  constructor(context: FrameworkContext) {
    this.#context = context;
    this.#config = Config.parse(context.config);
    this.#formatErrors = context.resume === null ? 0 : State.parse(context.resume).formatErrors;
    this.opening = {
      messages: [
        { role: "system", content: systemPrompt },
        { role: "user", content: taskPrompt(context.task) },
      ],
      tools,
      mode: "append",
      end: null,
    };
  }

  async step(action: Exclude<Action, { finish: unknown }>, context: StepContext): Promise<Turn> {
    const message: AssistantMessage =
      "message" in action ? action.message : { role: "assistant", content: action.text };
    const calls = message.tool_calls ?? [];
    const parsed = calls.map(parseCall);
    const bad = parsed.find((call) => !call.ok);
    const error = calls.length === 0 ? noCalls : bad?.ok === false ? bad.error : null;
    if (error !== null) return this.#malformed(error, message.finish_reason === "length");
    this.#formatErrors = 0;
    return this.#run(
      calls,
      parsed.flatMap((call) => (call.ok ? [call.command] : [])),
      context,
    );
  }

  #malformed(error: string, cut: boolean): Turn {
    this.#formatErrors += 1;
    const text = clipHead(error, this.#context.limits.observationChars).text;
    return {
      messages: [{ role: "user", content: formatError(text, cut) }],
      mode: "append",
      end: this.#formatErrors >= this.#config.max_consecutive_format_errors ? "format_abort" : null,
    };
  }

  async #run(calls: readonly ToolCall[], commands: readonly string[], context: StepContext): Promise<Turn> {
    const { sandbox, task, limits } = this.#context;
    const maxChars = Math.min(this.#config.output_chars, limits.observationChars);
    const messages: Message[] = [];
    let submitted = false;
    for (const [i, call] of calls.entries()) {
      context.signal.throwIfAborted();
      const outcome = submitted
        ? notExecuted
        : await runBash(sandbox, {
            command: commands[i] ?? "",
            cwd: task.workspace,
            env: environment,
            timeoutMs: Math.min(limits.toolMs, this.#config.timeout_s * 1000),
            // Half of it is kept from each end, and a character has at most 4 bytes.
            maxOutputBytes: Math.max(64 * 1024, maxChars * 8),
            onOutput: context.onOutput,
            signal: context.signal,
          });
      submitted ||= submits(outcome);
      const told = outcome.exception === null || outcome === notExecuted ? outcome : withPrefix(outcome);
      messages.push(toolMessage(call, renderOutcome(told, maxChars)));
    }
    return { messages, mode: "append", end: submitted ? "submitted" : null };
  }

  async state(): Promise<Json> {
    return { formatErrors: this.#formatErrors };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Holds nothing: each command has ended with its own call.
  }
}

const withPrefix = (outcome: BashOutcome): BashOutcome => ({
  ...outcome,
  exception: `An error occurred while executing the command: ${outcome.exception}`,
});

function commandsOf(intent: Intent): string[] {
  if (intent.type === "write") return writeCommands(intent.path, intent.content);
  if (intent.type === "delete") return [deleteCommand(intent.path)];
  if (intent.type === "run") return [intent.command];
  return [];
}

function encode(intents: readonly Intent[], _task: TaskView): { message: AssistantMessage }[] {
  const call = (command: string) => ({ name: "bash", arguments: { command } });
  const work = intents.flatMap(commandsOf).map(call);
  const messages = [
    ...callMessages(work, "THOUGHT: I make the changes."),
    ...callMessages([call(`echo ${SENTINEL}`)], "THOUGHT: The work is done; I submit it.", work.length + 1),
  ];
  return messages.map((message) => ({ message }));
}

export const miniSweToolcall: Framework = {
  id: "mini-swe.toolcall",
  version: "1",
  title: "mini-swe-agent, tool calls",
  description:
    "One tool, `bash`: every command runs in a fresh subshell. The episode ends with a command that prints a fixed line first.",
  split: "train",
  family: "mini-swe",
  accepts: "message",
  axes: {
    encoding: "openai_tools",
    edit: "shell",
    view: "shell",
    shell: "stateless",
    exit_code: "always",
    truncation: "10000 chars, head and tail",
    calls: "many, in order",
    finish: "sentinel",
    malformed: "user message, abort after 3",
  },
  needs: new Set(["bash"]),
  intents: new Set(["write", "delete", "run", "finish"]),
  config: Config,
  open: async (context) => new MiniSession(context),
  encode,
};
