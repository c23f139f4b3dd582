import { randomBytes } from "node:crypto";
import * as z from "zod";
import { GymError } from "../../core/errors.ts";
import { Json } from "../../core/json.ts";
import type { ExecResult } from "../../core/sandbox.ts";
import type { LineProcess } from "../../core/verifier.ts";
import { SubjectFault } from "../clean-room/subject-fault.ts";
import { ChannelLines } from "./channel-lines.ts";
import type { Deadline } from "./deadline.ts";
import { FairTimer } from "./fair-timer.ts";
import type { OpenJudge } from "./open-judge.ts";

/**
 * Trusted files at work in a judge sandbox.
 * Covers: results come by the judge's own channel with the run's nonce, and only its exit with status 0 after its last
 * frame counts. When the judge dies after answers of the subject reached it, the answers made it die: the subject's fault.
 * Before that it is our failure.
 */

const MAX_FRAME_BYTES = 16 * 1024 * 1024;
/** A judge's own thinking between two calls; hidden tests take milliseconds. */
const MAX_OWN_MS = 60_000;
/** Left to it also where the submission has used up the time of the verification. */
const LEAST_OWN_MS = 5_000;

const nonce = z.string();
const Typed = z.array(Json);
export const JudgeCall = z.strictObject({
  type: z.literal("call"),
  nonce,
  function: z.string(),
  args: Typed,
  kwargs: z.record(z.string(), Json),
});
export const JudgeRun = z.strictObject({
  type: z.literal("run"),
  nonce,
  args: z.array(z.string()),
  stdin: z.string(),
  files: z.record(z.string(), z.string()),
});
const JudgeInput = z.strictObject({
  type: z.literal("input"),
  nonce,
  function: z.string().nullable(),
  args: Typed,
  stdin: z.string(),
  files: z.record(z.string(), z.string()),
});
const JudgeResult = z.strictObject({
  type: z.literal("result"),
  nonce,
  id: z.string(),
  status: z.enum(["passed", "failed"]),
  message: z.string().nullable(),
});
/** The file that it runs, compiled. */
const Code = z.strictObject({ type: z.literal("code"), nonce, code: z.base64() });
const Unloadable = z.strictObject({ type: z.literal("unloadable"), nonce, message: z.string(), calls: z.int() });
const End = z.strictObject({ type: z.literal("end"), nonce });
const Frame = z.discriminatedUnion("type", [JudgeCall, JudgeRun, JudgeInput, JudgeResult, Code, Unloadable, End]);
type Frame = z.infer<typeof Frame>;
type JudgeRequest = z.infer<typeof JudgeCall> | z.infer<typeof JudgeRun>;

/** What the judge is asked to do; it gets this and its nonce as its first line. */
export type JudgeTask =
  | {
      readonly task: "tests";
      readonly file: string;
      /** Null: the tests call `run`. */
      readonly functions: readonly string[] | null;
      /** Name under which a Python test imports the functions. */
      readonly module: string | null;
    }
  | { readonly task: "generate"; readonly file: string; readonly seed: number; readonly count: number }
  /** Compiles a program for its own interpreter. */
  | { readonly task: "compile"; readonly file: string; readonly source: string };

export interface JudgeOptions {
  readonly judge: OpenJudge;
  readonly task: JudgeTask;
  readonly deadline: Deadline;
  /** Answers a call of the tests. What it throws ends the run and is thrown by it. */
  readonly answer: (request: JudgeRequest) => Promise<object>;
}

export interface JudgeReport {
  readonly results: readonly {
    readonly id: string;
    readonly status: "passed" | "failed";
    readonly message: string | null;
  }[];
  readonly inputs: readonly z.infer<typeof JudgeInput>[];
  /** Its file, compiled; empty when a run before it has had it. */
  readonly code: string;
  /** Why the file of the tests could not be loaded; then there are no results. */
  readonly unloadable: string | null;
}

/** Runs a judge to its end. */
export async function runJudge(options: JudgeOptions): Promise<JudgeReport> {
  const run = new JudgeRunState(options);
  return run.finish();
}

class JudgeRunState {
  readonly #options: JudgeOptions;
  readonly #nonce = randomBytes(16).toString("hex");
  readonly #results: JudgeReport["results"][number][] = [];
  readonly #inputs: z.infer<typeof JudgeInput>[] = [];
  readonly #frames: string[] = [];
  #code = "";
  #unloadable: string | null = null;
  #ended = false;
  #answers = 0;
  #wake = Promise.withResolvers<void>();
  #exit: ExecResult | null = null;
  #problem: Error | null = null;

  constructor(options: JudgeOptions) {
    this.#options = options;
  }

  async finish(): Promise<JudgeReport> {
    const { judge, task, deadline } = this.#options;
    const lines = new ChannelLines({
      maxLineBytes: MAX_FRAME_BYTES,
      onLine: (line) => {
        this.#frames.push(line);
        this.#wake.resolve();
      },
      onOverflow: () => this.#broke(new Error("a frame is too long")),
    });
    await using process = await judge.start((data) => lines.push(data));
    process.exit.then(
      (result) => {
        this.#exit = result;
        this.#wake.resolve();
      },
      (error: unknown) => this.#broke(error),
    );
    await process.write(`${JSON.stringify({ ...judge.hello, ...task, nonce: this.#nonce })}\n`);
    while (!(this.#exit !== null && this.#frames.length === 0)) {
      const line = this.#frames.shift();
      if (line === undefined) await this.#next(process, deadline);
      else await this.#handle(line, process);
    }
    return this.#report(this.#exit);
  }

  /** Waits for the judge itself, within its own time. */
  async #next(process: LineProcess, deadline: Deadline): Promise<void> {
    this.#check();
    this.#wake = Promise.withResolvers();
    const timeoutMs = Math.max(LEAST_OWN_MS, Math.min(MAX_OWN_MS, deadline.remainingMs()));
    const onPassed = () => this.#broke(this.#died("it stopped answering"));
    using _timer = new FairTimer({ process, timeoutMs, onPassed });
    await this.#wake.promise;
    this.#check();
  }

  #check(): void {
    if (this.#problem !== null) throw this.#problem;
  }

  async #handle(line: string, process: LineProcess): Promise<void> {
    const frame = this.#parse(line);
    switch (frame.type) {
      case "call":
      case "run":
        return this.#reply(frame, process);
      case "code":
        this.#code = frame.code;
        this.#options.judge.onCode(frame.code);
        return;
      case "input":
        this.#inputs.push(frame);
        return;
      case "result":
        this.#results.push({ id: frame.id, status: frame.status, message: frame.message });
        return;
      case "unloadable":
        this.#unloadable = frame.message;
        this.#ended = true;
        return;
      case "end":
        this.#ended = true;
    }
  }

  async #reply(frame: JudgeRequest, process: LineProcess): Promise<void> {
    let reply: object;
    try {
      reply = await this.#options.answer(frame);
    } catch (error) {
      // It waits for an answer that does not come: let it end in order.
      await process.closeStdin();
      throw error;
    }
    this.#answers++;
    await process.write(`${JSON.stringify(reply)}\n`);
  }

  #parse(line: string): Frame {
    const frame = Frame.parse(JSON.parse(line));
    if (frame.nonce !== this.#nonce || this.#ended) throw new Error("the judge broke its own protocol");
    return frame;
  }

  #report(exit: ExecResult): JudgeReport {
    if (!this.#ended || exit.exitCode !== 0) {
      const said = Buffer.from(exit.stderr).toString("utf8").trim().slice(-1000);
      throw this.#died(`it ended with ${exit.signal ?? exit.exitCode}: ${said}`);
    }
    if (this.#unloadable !== null && this.#answers === 0) throw this.#died(this.#unloadable);
    return { results: this.#results, inputs: this.#inputs, code: this.#code, unloadable: this.#unloadable };
  }

  #died(how: string): Error {
    if (this.#answers > 0) return new SubjectFault("judge_died", `the judge died of the answers: ${how}`);
    return new GymError("verifier_failed", `the judge of ${this.#options.task.file} failed: ${how}`);
  }

  #broke(error: unknown): void {
    this.#problem ??= error instanceof Error ? error : new Error(String(error));
    this.#wake.resolve();
  }
}
