import { randomUUID } from "node:crypto";
import * as z from "zod";
import type { Json } from "../../core/json.ts";
import type { ExecResult, Sandbox } from "../../core/sandbox.ts";
import type { LineProcess } from "../../core/verifier.ts";
import { SubjectFault } from "../clean-room/subject-fault.ts";
import { ChannelLines } from "./channel-lines.ts";
import { FairTimer } from "./fair-timer.ts";
import type { ProgramInvocation } from "./program-text.ts";
import { isTyped } from "./typed-value.ts";

/**
 * A module of functions in a sandbox, called by typed JSON.
 * Covers: an answer counts only when it was asked for, carries its request's nonce, is one line of typed JSON within the
 * bound, and is the only one; anything else is a protocol violation. What the process prints is never read.
 * Does not cover: what the answer says. It is the code's own claim, and is only ever compared.
 */

/** Longest answer; a hidden test that needs more should ask for less. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** All answers of one process together: bounds what a judge must hold. */
const MAX_ANSWERS_BYTES = 64 * 1024 * 1024;
/** Kept of what the code prints; only its end is ever shown. */
const MAX_PRINTED_BYTES = 64 * 1024;

const Typed = z.custom<Json>((value) => isTyped(value), "not typed JSON");

const Raised = z.object({
  name: z.string().max(300),
  /** Names of its builtin classes, nearest first. (JavaScript: none) */
  bases: z.array(z.string().max(300)).max(50),
  message: z.string().max(10_000),
  /** Its arguments; null when they cannot travel. */
  args: z.array(Typed).nullable(),
});
export type Raised = z.infer<typeof Raised>;

/** Arguments as they are after the call, when the call changed them. */
const Changed = { args: z.array(Typed).optional() };
const Answer = z.union([
  z.strictObject({ nonce: z.string(), value: Typed, ...Changed }),
  z.strictObject({ nonce: z.string(), raised: Raised, ...Changed }),
  z.strictObject({ nonce: z.string(), broken: z.string().max(2000) }),
]);

export type CallOutcome =
  | { readonly status: "returned"; readonly value: Json; readonly args: readonly Json[] | null }
  | { readonly status: "raised"; readonly raised: Raised; readonly args: readonly Json[] | null }
  /** No such function, or a value that cannot travel: this call fails, whatever was expected. */
  | { readonly status: "broken"; readonly reason: string };

export interface SubjectCall {
  readonly function: string;
  readonly args: readonly Json[];
  readonly kwargs: Readonly<Record<string, Json>>;
}

/** Starts the process of a module; what it writes on its channel goes to `onChannel`. */
export type StartModule = (onChannel: (data: Uint8Array) => void) => Promise<LineProcess>;

export interface SubjectOptions {
  readonly sandbox: Sandbox;
  readonly program: ProgramInvocation;
  readonly interpreterPath: string;
  /** Life of the process. */
  readonly wallMs: number;
}

/** A process of its own for the attempt. */
export const ownProcess =
  ({ sandbox, program, interpreterPath, wallMs }: SubjectOptions): StartModule =>
  async (onChannel) => {
    const process = await sandbox.spawn({
      argv: [interpreterPath, ...program.argv],
      timeoutMs: Math.min(3_600_000, Math.ceil(wallMs)),
      maxOutputBytes: MAX_PRINTED_BYTES,
      channel: true,
      onOutput: ({ stream, data }) => {
        if (stream === "channel") onChannel(data);
      },
    });
    if (program.input !== undefined) process.write(program.input).catch(() => undefined); // told by its exit
    return process;
  };

export class CalledSubject implements AsyncDisposable {
  #process: LineProcess | null = null;
  #waiting: PromiseWithResolvers<string> | null = null;
  /** Why it answers no more: a SubjectFault, or a failure of ours. The first one stays. */
  #end: Error | null = null;
  #bytes = 0;
  readonly #lines = new ChannelLines({
    maxLineBytes: MAX_ANSWER_BYTES,
    onLine: (line) => this.#answered(line),
    onOverflow: () => this.#fail(new SubjectFault("protocol_violation", `an answer of over ${MAX_ANSWER_BYTES} bytes`)),
  });

  private constructor() {
    // Made by start() only, which gives it its process.
  }

  /** Starts the process. The module is imported by {@link load}. */
  static async start(begin: StartModule): Promise<CalledSubject> {
    const subject = new CalledSubject();
    const process = await begin((data) => subject.#received(data));
    subject.#process = process;
    process.exit.then(
      (result) => subject.#fail(deathOf(result)),
      (error: unknown) => subject.#fail(error),
    );
    return subject;
  }

  /** Imports the module: dotted name (Python) or file (JavaScript) below the workspace. Null when it was imported, else what it raised. */
  async load(entry: string, timeoutMs: number): Promise<Raised | null> {
    const outcome = await this.#ask({ entry }, timeoutMs);
    return outcome.status === "raised" ? outcome.raised : null;
  }

  /** One call. Death, time-out and violations are thrown as SubjectFault, and every later call throws the same. */
  call(call: SubjectCall, timeoutMs: number): Promise<CallOutcome> {
    return this.#ask({ function: call.function, args: call.args, kwargs: call.kwargs }, timeoutMs);
  }

  /** Ends an exchange: a second answer to the last call would show here. */
  async finish(timeoutMs: number): Promise<void> {
    await this.#ask({ function: null }, timeoutMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process?.[Symbol.asyncDispose]();
  }

  /** Lets a process that waits for the next call end by itself. */
  async release(): Promise<void> {
    await this.#process?.closeStdin();
  }

  async #ask(body: object, timeoutMs: number): Promise<CallOutcome> {
    const process = this.#process;
    if (this.#end !== null || process === null) throw this.#end ?? new TypeError("the subject has not been started");
    const nonce = randomUUID();
    const waiting = Promise.withResolvers<string>();
    this.#waiting = waiting;
    const onPassed = () => {
      this.#fail(new SubjectFault("timed_out", `no answer within ${timeoutMs} ms`));
      // The kill's own failure shows on the process's exit.
      process.kill().catch(() => undefined);
    };
    using _timer = new FairTimer({ process, timeoutMs, onPassed });
    try {
      // Not awaited before the answer: a subject that never reads must not hold up the time-out.
      process.write(`${JSON.stringify({ ...body, nonce })}\n`).catch((error: unknown) => this.#fail(error));
      return this.#outcome(await waiting.promise, nonce);
    } finally {
      this.#waiting = null;
    }
  }

  #outcome(line: string, nonce: string): CallOutcome {
    const answer = Answer.safeParse(parseJson(line));
    if (!answer.success) throw this.#violated("an answer of the wrong form");
    const frame = answer.data;
    if (frame.nonce !== nonce) throw this.#violated("an answer without its request's nonce");
    if ("broken" in frame) return { status: "broken", reason: frame.broken };
    const args = frame.args ?? null;
    return "value" in frame
      ? { status: "returned", value: frame.value, args }
      : { status: "raised", raised: frame.raised, args };
  }

  #violated(detail: string): SubjectFault {
    const fault = new SubjectFault("protocol_violation", detail);
    this.#end ??= fault;
    return fault;
  }

  #received(data: Uint8Array): void {
    this.#bytes += data.length;
    if (this.#bytes > MAX_ANSWERS_BYTES)
      this.#fail(new SubjectFault("protocol_violation", `answers of over ${MAX_ANSWERS_BYTES} bytes in all`));
    else this.#lines.push(data);
  }

  #answered(line: string): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    if (waiting === null) this.#violated("an answer that nobody asked for");
    else waiting.resolve(line);
  }

  #fail(error: unknown): void {
    this.#end ??= error instanceof Error ? error : new Error(String(error));
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.reject(this.#end);
  }
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

function deathOf(result: ExecResult): SubjectFault {
  const end = result.signal ?? `exit status ${result.exitCode}`;
  if (result.outOfMemory) return new SubjectFault("out_of_memory", `the process ran out of memory (${end})`);
  if (result.timedOut) return new SubjectFault("timed_out", "the process ran out of time");
  const said = Buffer.from(result.stderr).toString("utf8").trim().slice(-500);
  return new SubjectFault(
    "early_exit",
    `the process ended before it answered (${end})${said === "" ? "" : `: ${said}`}`,
  );
}
