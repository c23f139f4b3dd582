import * as z from "zod";
import type { StopReason } from "../../../core/episode.ts";
import type {
  Framework,
  FrameworkContext,
  FrameworkSession,
  StepContext,
  TaskView,
  Turn,
} from "../../../core/framework.ts";
import type { Json } from "../../../core/json.ts";
import type { Action, Message } from "../../../core/messages.ts";
import { clipHead, clipTail, decodeStrict } from "../primitives/clip.ts";
import { type EditBlock, parseReply } from "../primitives/search-replace.ts";
import { absolutePath, pathInside } from "../primitives/workspace-path.ts";
import { type Applied, applyBlock, type ChatFile, type ChatFiles, failureText, openText, rawText } from "./edits.ts";
import { encodeReply } from "./encode.ts";
import { addedFiles, requestPrompt, systemPrompt } from "./prompt.ts";

const Config = z.strictObject({
  max_reflections: z.int().min(0).max(20).default(3).describe("answers to replies that could not be applied"),
  chat_chars: z
    .int()
    .min(0)
    .max(10_000_000)
    .default(200_000)
    .describe("text of the files that are in the chat from the start"),
});
type Config = z.infer<typeof Config>;

const State = z.strictObject({
  reflections: z.int().min(0),
  chat: z.array(z.string()),
  history: z.array(z.object({ role: z.enum(["assistant", "user"]), content: z.string() })),
});
type State = z.infer<typeof State>;

/** A file beyond this is not edited: matching it would hold the worker. */
const MAX_FILE_BYTES = 1024 * 1024;
const MAX_BLOCKS = 256;

/** Files in the chat from the start: in order of path while there is room. */
function firstChat(task: TaskView, chars: number): string[] {
  let left = chars;
  return [...task.files].flatMap(([path, text]) => {
    if (text.length > left) return [];
    left -= text.length;
    return [path];
  });
}

interface Outcome {
  readonly results: readonly Applied[];
  readonly files: ChatFiles;
}

class AiderSession implements FrameworkSession {
  readonly opening: Turn;
  readonly #context: FrameworkContext;
  readonly #config: Config;
  readonly #state: State;

  constructor(context: FrameworkContext) {
    const { task, resume } = context;
    this.#context = context;
    this.#config = Config.parse(context.config);
    const chat = firstChat(task, this.#config.chat_chars);
    this.#state = resume === null ? { reflections: 0, chat, history: [] } : State.parse(resume);
    const files = chat.map((path) => ({ path, text: openText(task.files.get(path) ?? "").text }));
    this.opening = { messages: this.#prompt(files, chat), tools: [], mode: "append", end: null };
  }

  async step(action: Exclude<Action, { finish: unknown }>, context: StepContext): Promise<Turn> {
    const reply = "text" in action ? action.text : (action.message.content ?? "");
    this.#state.history.push({ role: "assistant", content: reply });
    const parsed = parseReply(reply, this.#state.chat);
    if (!parsed.ok) return this.#reflect(clipTail(parsed.error, this.#context.limits.observationChars).text);
    if (parsed.blocks.length > MAX_BLOCKS)
      return this.#reflect(
        `A reply may hold ${MAX_BLOCKS} SEARCH/REPLACE blocks; this one has ${parsed.blocks.length}. None was applied.`,
      );
    if (parsed.blocks.length === 0) return this.#withoutBlocks(reply);
    return this.#edit(parsed.blocks, context.signal);
  }

  async #withoutBlocks(reply: string): Promise<Turn> {
    const added = this.#others().filter((path) => mentions(reply, path));
    if (added.length === 0) return { messages: [], mode: "append", end: "text_end" };
    this.#state.chat.push(...added);
    return this.#reflect(addedFiles(added));
  }

  async #edit(blocks: readonly EditBlock[], signal: AbortSignal): Promise<Turn> {
    const { task, limits } = this.#context;
    const named = blocks.flatMap((block) => pathInside(task, block.path) ?? []);
    let outcome = await this.#apply(blocks, named, [], signal);
    if (outcome.results.some((result) => result.status === "no_match"))
      outcome = await this.#apply(blocks, named, this.#state.chat, signal);
    const { results, files } = outcome;
    const unwritten = await this.#write(results, files, signal);
    const failed = results.flatMap((result) => (result.status === "applied" ? [] : [result]));
    if (failed.length === 0 && unwritten === "")
      return { messages: [user(applied(results))], mode: "append", end: "submitted" };
    const passed = results.length - failed.length;
    const text = failed.length === 0 ? "" : failureText({ failed, passed, files, root: task });
    return this.#reflect(
      clipHead([unwritten, text].filter((part) => part !== "").join("\n"), limits.observationChars).text,
    );
  }

  /** Applies the blocks to what the files hold now; `fallback` files are tried where the named one does not match. */
  async #apply(
    blocks: readonly EditBlock[],
    named: readonly string[],
    fallback: readonly string[],
    signal: AbortSignal,
  ): Promise<Outcome> {
    const files: ChatFiles = new Map();
    for (const path of new Set([...named, ...fallback])) {
      signal.throwIfAborted();
      const file = await this.#read(path);
      if (file !== undefined) files.set(path, file);
    }
    const results: Applied[] = [];
    for (const block of blocks) {
      results.push(applyBlock(files, block, this.#context.task, fallback));
      await new Promise(setImmediate); // others get their turn between searches
    }
    return { results, files };
  }

  /** Undefined: there is no such file. Null: it cannot be edited as text. */
  async #read(path: string): Promise<ChatFile | null | undefined> {
    const { sandbox, task } = this.#context;
    const bytes = await sandbox.read(absolutePath(task.workspace, path), { maxBytes: MAX_FILE_BYTES });
    if (!bytes.ok) return bytes.error === "not_found" ? undefined : null;
    const text = decodeStrict(bytes.value);
    return text === null ? null : openText(text);
  }

  /** Writes the files that changed; what could not be written, in words. */
  async #write(results: readonly Applied[], files: ChatFiles, signal: AbortSignal): Promise<string> {
    const { sandbox, task } = this.#context;
    const errors: string[] = [];
    const changed = new Set(results.flatMap((result) => (result.status === "applied" ? [result.path] : [])));
    for (const path of changed) {
      signal.throwIfAborted();
      const file = files.get(path);
      if (!file) continue;
      const written = await sandbox.write(absolutePath(task.workspace, path), rawText(file));
      if (!written.ok) errors.push(`Unable to write file ${path}: ${written.message}\n`);
      else if (!this.#state.chat.includes(path)) this.#state.chat.push(path);
    }
    return errors.join("");
  }

  #others(): string[] {
    return [...this.#context.task.files.keys()].filter((path) => !this.#state.chat.includes(path));
  }

  #prompt(files: readonly { path: string; text: string }[], chat: readonly string[]): Message[] {
    const { task } = this.#context;
    const others = [...task.files.keys()].filter((path) => !chat.includes(path));
    return [{ role: "system", content: systemPrompt }, user(requestPrompt(task, { files, others }))];
  }

  /** Says `text` with the whole chat again, its files as they are now; beyond the last reflection the work ends. */
  async #reflect(text: string): Promise<Turn> {
    const { chat, history } = this.#state;
    const last = this.#state.reflections >= this.#config.max_reflections;
    this.#state.reflections += last ? 0 : 1;
    history.push({ role: "user", content: text });
    const read = await Promise.all(chat.map(async (path) => ({ path, file: await this.#read(path) })));
    const files = read.flatMap(({ path, file }) => (file ? [{ path, text: file.text }] : []));
    const end: StopReason | null = last ? "format_abort" : null;
    return { messages: [...this.#prompt(files, chat), ...history], mode: "replace", end };
  }

  async state(): Promise<Json> {
    return structuredClone(this.#state);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Holds nothing beside its counters.
  }
}

const user = (content: string): Message => ({ role: "user", content });

const applied = (results: readonly Applied[]): string =>
  [
    ...new Set(results.flatMap((result) => (result.status === "applied" ? [`Applied edit to ${result.path}`] : []))),
  ].join("\n");

/** True when the path stands in the reply as a word of its own. */
function mentions(reply: string, path: string): boolean {
  const words = /[^\s`"'*,;:!?()[\]{}<>]+/g;
  return [...reply.matchAll(words)].some(([word]) => word.replace(/\.$/, "") === path);
}

export const aiderDiff: Framework = {
  id: "aider.diff",
  version: "1",
  title: "Aider, SEARCH/REPLACE blocks",
  description:
    "No tools: files are shown in full, and the reply carries SEARCH/REPLACE blocks. A reply whose blocks all apply ends the episode; up to three others are answered with what did not match. Edits are not linted.",
  split: "train",
  family: "aider",
  accepts: "text",
  axes: {
    encoding: "edit_blocks",
    edit: "SEARCH/REPLACE",
    view: "whole files",
    shell: "none",
    exit_code: "never",
    truncation: "none",
    calls: "many blocks, in order",
    finish: "silence",
    malformed: "user message, abort after 3",
  },
  needs: new Set(),
  intents: new Set(["write", "finish"]),
  config: Config,
  open: async (context) => new AiderSession(context),
  encode: (intents, task) => [{ text: encodeReply(intents, task) }],
};
