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
import { deleteCommand, quote, scriptCommand, writeCommands } from "../primitives/bash-encoding.ts";
import { clipHead } from "../primitives/clip.ts";
import { PersistentShell, type ShellOutcome, ShellState } from "../primitives/shell.ts";
import { callMessages, type PlannedCall, parseArguments, toolMessage } from "../primitives/tool-call.ts";
import { absolutePath } from "../primitives/workspace-path.ts";
import { clip, runEditor } from "./editor.ts";
import { BASH, EDITOR, systemPrompt, taskPrompt, tools } from "./prompt.ts";

const Config = z.strictObject({
  timeout_s: z
    .number()
    .positive()
    .max(3600)
    .default(120)
    .describe("time of one command; the episode's tool_s bounds it too"),
  max_characters: z.int().min(200).max(1_000_000).default(16_000).describe("longer text is clipped at its end"),
  expand_tabs: z.boolean().default(true).describe("edits turn a file's tabs into spaces, as the reference does"),
});
type Config = z.infer<typeof Config>;

const State = z.strictObject({ shell: ShellState });

class BashEditorSession implements FrameworkSession {
  readonly opening: Turn;
  readonly #context: FrameworkContext;
  readonly #config: Config;
  readonly #shell: PersistentShell;

  constructor(context: FrameworkContext) {
    const { task, sandbox, resume } = context;
    this.#context = context;
    this.#config = Config.parse(context.config);
    this.#shell = new PersistentShell(sandbox, task.workspace, resume === null ? null : State.parse(resume).shell);
    this.opening = {
      messages: [
        { role: "system", content: systemPrompt(task.workspace) },
        { role: "user", content: taskPrompt(task) },
      ],
      tools,
      mode: "append",
      end: null,
    };
  }

  async step(action: Exclude<Action, { finish: unknown }>, context: StepContext): Promise<Turn> {
    const calls = "message" in action ? (action.message.tool_calls ?? []) : [];
    const messages: Message[] = [];
    for (const call of calls) {
      context.signal.throwIfAborted();
      messages.push(toolMessage(call, await this.#answer(call, context)));
    }
    return { messages, mode: "append", end: calls.length === 0 ? "text_end" : null };
  }

  async #answer(call: ToolCall, context: StepContext): Promise<string> {
    const { name } = call.function;
    if (name !== BASH && name !== EDITOR) return `Tool ${clipHead(name, 100).text} is invalid`;
    const input = parseArguments(call);
    if (!input.ok) return `The input of tool ${name} is not valid: ${clipHead(input.error, 500).text}`;
    if (name === BASH) return this.#bash(input.value, context);
    const { sandbox, task } = this.#context;
    const { expand_tabs: expandTabs } = this.#config;
    return runEditor(input.value, { sandbox, workspace: task.workspace, maxChars: this.#maxChars, expandTabs });
  }

  get #maxChars(): number {
    return Math.min(this.#config.max_characters, this.#context.limits.observationChars);
  }

  async #bash(input: Readonly<Record<string, unknown>>, context: StepContext): Promise<string> {
    if (input.restart === true) {
      await this.#shell.restart();
      return "<system>tool has been restarted.</system>";
    }
    if (typeof input.command !== "string") return "no command provided.";
    if (input.command.includes("\0")) return "the command holds a null byte and was not run.";
    const timeoutMs = Math.min(this.#context.limits.toolMs, this.#config.timeout_s * 1000);
    const maxChars = this.#maxChars;
    const outcome = await this.#shell.run({
      command: input.command,
      timeoutMs,
      // Half of it is kept from each end, and a character has at most 4 bytes.
      maxOutputBytes: Math.max(64 * 1024, maxChars * 8),
      onOutput: context.onOutput,
      signal: context.signal,
    });
    return renderShell(outcome, timeoutMs, maxChars);
  }

  async state(): Promise<Json> {
    return { shell: await this.#shell.state() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#shell[Symbol.asyncDispose]();
  }
}

/** Seconds as Python prints a float: 120.0. */
const seconds = (ms: number): string => (ms % 1000 === 0 ? `${ms / 1000}.0` : String(ms / 1000));

const withoutLastBreak = (text: string): string => (text.endsWith("\n") ? text.slice(0, -1) : text);

/** Standard error follows standard output in a tag of its own; there is no exit code. */
function renderShell(outcome: ShellOutcome, timeoutMs: number, maxChars: number): string {
  if (outcome.status === "timed_out")
    return `timed out: bash has not returned in ${seconds(timeoutMs)} seconds and must be restarted`;
  const stdout = withoutLastBreak(outcome.stdout);
  const stderr = withoutLastBreak(outcome.stderr);
  const errorRoom = Math.min(stderr.length, Math.max(Math.floor(maxChars / 2), maxChars - stdout.length));
  const output = clip(stdout, maxChars - errorRoom);
  const error = stderr === "" ? "" : `<error>${clip(stderr, errorRoom)}</error>`;
  const ended =
    outcome.status === "exited"
      ? `<system>tool must be restarted</system>\nbash has exited with returncode ${outcome.exitCode ?? -1}`
      : "";
  return [output, error, ended].filter((part) => part !== "").join("\n");
}

/** `create` refuses to replace a file, and an edit turns tabs to spaces and line ends to "\n": then bash says it. */
function writeCalls(intent: Extract<Intent, { type: "write" }>, path: string): PlannedCall[] {
  const { before, content } = intent;
  if (before === null) return [{ name: EDITOR, arguments: { command: "create", path, file_text: content } }];
  const byEditor = before !== "" && !/[\t\r\0]/.test(before + content) && before !== content;
  if (!byEditor) return bashCalls(writeCommands(path, content));
  const { oldText, newText } = changedPart(before, content);
  return [{ name: EDITOR, arguments: { command: "str_replace", path, old_str: oldText, new_str: newText } }];
}

const bashCalls = (commands: readonly string[]): PlannedCall[] =>
  commands.map((command) => ({ name: BASH, arguments: { command } }));

/** The changed lines, with as many lines around them as make the old text unique. */
function changedPart(before: string, content: string): { oldText: string; newText: string } {
  const old = before.split("\n");
  const now = content.split("\n");
  let first = 0;
  while (first < Math.min(old.length, now.length) && old[first] === now[first]) first += 1;
  let last = 0;
  while (last < Math.min(old.length, now.length) - first && old.at(-1 - last) === now.at(-1 - last)) last += 1;
  for (let around = 1; ; around *= 2) {
    const start = Math.max(0, first - around);
    const end = Math.max(0, last - around);
    const oldText = old.slice(start, old.length - end).join("\n");
    const whole = start === 0 && end === 0;
    if (whole || (oldText !== "" && before.split(oldText).length === 2))
      return { oldText, newText: now.slice(start, now.length - end).join("\n") };
  }
}

function callsOf(intent: Intent, task: TaskView): PlannedCall[] {
  if (intent.type === "write") return writeCalls(intent, absolutePath(task.workspace, intent.path));
  if (intent.type === "delete") return bashCalls([deleteCommand(absolutePath(task.workspace, intent.path))]);
  if (intent.type === "run") return bashCalls([`cd ${quote(task.workspace)} && ${scriptCommand(intent.command)}`]);
  return [];
}

function encode(intents: readonly Intent[], task: TaskView): { message: AssistantMessage }[] {
  const work = callMessages(
    intents.flatMap((intent) => callsOf(intent, task)),
    "I make the changes.",
  );
  const last: AssistantMessage = { role: "assistant", content: "The work is done." };
  return [...work, last].map((message) => ({ message }));
}

export const anthropicBashEditor: Framework = {
  id: "anthropic.bash-editor",
  version: "1",
  title: "Anthropic bash and text editor tools",
  description:
    "Two tools: a bash session that stays open, and an editor that views, creates and replaces by absolute path. A reply without tool calls ends the episode.",
  split: "train",
  family: "anthropic",
  accepts: "message",
  axes: {
    encoding: "anthropic_tools",
    edit: "str_replace, strict",
    view: "numbered, tab",
    shell: "session",
    exit_code: "never",
    truncation: "16000 chars, head",
    calls: "many, in order",
    finish: "silence",
    malformed: "tool error",
  },
  needs: new Set(["bash"]),
  intents: new Set(["write", "delete", "run", "finish"]),
  config: Config,
  open: async (context) => new BashEditorSession(context),
  encode,
};
