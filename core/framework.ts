import type * as z from "zod";
import type { StopReason } from "./episode.ts";
import type { Json, JsonObject } from "./json.ts";
import type { Action, Message, ToolSchema } from "./messages.ts";
import type { Intent, IntentType } from "./policy.ts";
import type { OutputChunk, Sandbox } from "./sandbox.ts";
import type { Split } from "./task.ts";

/**
 * The framework port: how a policy acts. It knows no task kind and no verifier. test/contract/frameworks.test.ts runs
 * over every line of environments/catalog.ts.
 */

/** All that a framework may know of a task: the same for every verifier (DESIGN §2 rule 4). */
export interface TaskView {
  readonly instruction: string;
  /** Absolute folder in the sandbox. */
  readonly workspace: string;
  /** Absolute folder that is a link to the workspace: what the task itself calls it, e.g. "/app". Null: nothing. */
  readonly alias: string | null;
  /** Text files of the starting workspace by path, for frameworks that show files in the prompt. Sorted. */
  readonly files: ReadonlyMap<string, string>;
}

export interface FrameworkLimits {
  /** Time-out of one command. */
  readonly toolMs: number;
  /** Characters of text in each message of an observation, before the framework's own wrapper. */
  readonly observationChars: number;
}

export interface FrameworkContext {
  readonly task: TaskView;
  readonly sandbox: Sandbox;
  readonly limits: FrameworkLimits;
  readonly config: JsonObject;
  readonly seed: number;
  /** What {@link FrameworkSession.state} gave, when an episode continues elsewhere; null on a first start. */
  readonly resume: Json | null;
}

export interface StepContext {
  readonly signal: AbortSignal;
  /** Told of tool output as it comes, for progress events. */
  readonly onOutput: (chunk: OutputChunk) => void;
}

/** One turn's answer to the policy. */
export interface Turn {
  readonly messages: readonly Message[];
  /** Present only when the tools changed. */
  readonly tools?: readonly ToolSchema[];
  /** append: messages are new. replace: they are the whole context. */
  readonly mode: "append" | "replace";
  /** Set when this framework's own rule ends the episode: its finish rule, or too many malformed actions. */
  readonly end: StopReason | null;
}

export interface FrameworkSession extends AsyncDisposable {
  readonly opening: Turn;
  /**
   * Does what the action says. A bad action is a Turn in the framework's own words, never an exception. `finish` never
   * gets here: the episode handles it.
   */
  step(action: Exclude<Action, { finish: unknown }>, context: StepContext): Promise<Turn>;
  /** What `resume` needs beside the workspace: counters, shell state. Data only. */
  state(): Promise<Json>;
}

export interface Framework {
  /** `vendor.name`, e.g. "anthropic.bash-editor". */
  readonly id: string;
  readonly version: string;
  readonly title: string;
  readonly description: string;
  readonly split: Split;
  readonly family: string;
  /** What kind of action it takes; the other kind is `invalid_request` and uses up no seq. */
  readonly accepts: "message" | "text";
  /** Axes of variation it stands for: encoding, shell state, edit channel … */
  readonly axes: Readonly<Record<string, string>>;
  /** Runtimes of the image that it needs inside, e.g. "bash". */
  readonly needs: ReadonlySet<string>;
  /** Intents it can express; a task whose gold needs another one does not fit (`invalid_cell`). */
  readonly intents: ReadonlySet<IntentType>;
  /** Parses framework_config; every key has a default. */
  readonly config: z.ZodType<JsonObject>;
  open(context: FrameworkContext): Promise<FrameworkSession>;
  /**
   * The actions by which a policy says these intents in this framework's language: at least one, and the last one ends
   * the episode. A message may carry several tool calls. Throws a ProblemError `invalid_cell` for an intent that the
   * language has no way to say.
   */
  encode(intents: readonly Intent[], task: TaskView): readonly Exclude<Action, { finish: unknown }>[];
}
