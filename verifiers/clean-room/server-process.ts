import { setTimeout as after } from "node:timers/promises";
import * as z from "zod";
import { GymError } from "../../core/errors.ts";
import type { ExecResult, Sandbox, SandboxProcess } from "../../core/sandbox.ts";
import type { LineProcess } from "../../core/verifier.ts";

/**
 * One process of a trusted program that serves runs one after the other (verifiers/calls/fork_server.py).
 * Covers: a run is a child process of its own, so its modules, patches, memory and threads end with it; a server whose run
 * was killed, ended in another way than its program does, or left a file or a process behind serves no other run.
 * Does not cover: code that takes over the interpreter of a child by a fault of the interpreter itself, and from there the
 * server, which runs under the same user. Servers therefore never run a program of a submission, and are bounded in age and use.
 */

/** Longest life of the process, from the sandbox's side; the pool gives it up long before. */
const LIFE_MS = 3_600_000;
/** Kept of what a run prints on standard error; only its end is ever shown. */
const MAX_PRINTED_BYTES = 64 * 1024;
/** A child that waits for a line ends within a millisecond of its input's end; more means that it did not wait. */
const END_GRACE_MS = 1_000;
const MAX_REPORT_BYTES = 1_024;
/** How programs end: at their end, or at that of their input. */
const ORDERLY: readonly (number | null)[] = [0, 3];

const RunEnd = z.strictObject({ exit_code: z.int().nullable(), signal: z.string().nullable(), clean: z.boolean() });
const MARK = "!".charCodeAt(0);
const NEWLINE = 10;

export interface ServerStart {
  readonly sandbox: Sandbox;
  readonly interpreterPath: string;
  readonly argv: readonly string[];
}

export class ServerProcess {
  readonly #sandbox: Sandbox;
  #process: SandboxProcess | null = null;
  #run: ServedRun | null = null;
  #sound = true;

  private constructor(sandbox: Sandbox) {
    this.#sandbox = sandbox;
  }

  /** Owns the sandbox from now on, also when it fails. */
  static async start({ sandbox, interpreterPath, argv }: ServerStart): Promise<ServerProcess> {
    const server = new ServerProcess(sandbox);
    try {
      const process = await sandbox.spawn({
        argv: [interpreterPath, ...argv],
        timeoutMs: LIFE_MS,
        maxOutputBytes: 0,
        channel: true,
        onOutput: ({ stream, data }) => {
          if (stream === "channel") server.#received(data);
          if (stream === "stderr") server.#run?.printed(data);
        },
      });
      server.#process = process;
      process.exit.then(
        (result) => server.#ended((run) => run.endedWith(result)),
        (error: unknown) => server.#ended((run) => run.failed(error)),
      );
      return server;
    } catch (error) {
      await sandbox.close();
      throw error;
    }
  }

  /** True when it can serve another run. */
  get usable(): boolean {
    return this.#sound && this.#run === null;
  }

  /** What is written first is the run's first line. */
  run(onChannel: (data: Uint8Array) => void): LineProcess {
    const process = this.#process;
    if (!this.usable || process === null)
      throw new GymError("verifier_failed", "a server was asked for two runs at once");
    const run = new ServedRun({ process, onChannel, end: () => this.close() });
    this.#run = run;
    return run;
  }

  async close(): Promise<void> {
    this.#sound = false;
    await this.#sandbox.close();
  }

  #received(data: Uint8Array): void {
    const run = this.#run;
    const end = run?.received(data) ?? null;
    if (run === null) this.#sound = false;
    if (end === null) return;
    this.#run = null;
    if (end === "malformed" || !end.clean || !ORDERLY.includes(end.exit_code)) this.#sound = false;
    if (end === "malformed") run?.failed(new GymError("verifier_failed", "a server's report cannot be read"));
    else run?.ended({ exitCode: end.exit_code, signal: end.signal });
  }

  #ended(tell: (run: ServedRun) => void): void {
    this.#sound = false;
    if (this.#run !== null) tell(this.#run);
    this.#run = null;
  }
}

interface RunOptions {
  readonly process: SandboxProcess;
  readonly onChannel: (data: Uint8Array) => void;
  /** Ends the whole server. */
  readonly end: () => Promise<void>;
}

/** One run, as a process. */
class ServedRun implements LineProcess {
  readonly exit: Promise<ExecResult>;
  readonly #options: RunOptions;
  readonly #exit = Promise.withResolvers<ExecResult>();
  readonly #started = performance.now();
  #stderr: Uint8Array[] = [];
  #stderrBytes = 0;
  /** The server's report, as far as it has come; null before its mark. */
  #report: Uint8Array | null = null;
  #atLineStart = true;
  #begun = false;
  #over = false;
  #inputEnded = false;

  constructor(options: RunOptions) {
    this.#options = options;
    this.exit = this.#exit.promise;
    // Told by whoever awaits it; nobody has to.
    this.exit.catch(() => undefined);
  }

  async write(data: string | Uint8Array): Promise<void> {
    if (this.#over) return;
    const first = !this.#begun;
    this.#begun = true;
    await this.#options.process.write(first ? Buffer.concat([Buffer.of(64), Buffer.from(data)]) : data);
  }

  async closeStdin(): Promise<void> {
    if (this.#over || this.#inputEnded) return;
    this.#inputEnded = true;
    await this.#options.process.write("\n");
  }

  async kill(): Promise<void> {
    if (!this.#over) await this.#options.end();
  }

  waitedMs(): Promise<number | null> {
    return this.#options.process.waitedMs();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#inputEnded)
      await Promise.race([this.exit.catch(() => undefined), after(END_GRACE_MS, null, { ref: false })]);
    await this.kill();
  }

  /** Null: the run goes on. */
  received(data: Uint8Array): z.infer<typeof RunEnd> | "malformed" | null {
    if (this.#report === null) {
      const at = this.#markIn(data);
      const frames = at < 0 ? data : data.subarray(0, at);
      if (frames.length > 0) this.#options.onChannel(frames);
      if (at < 0) return null;
      this.#report = new Uint8Array(0);
      return this.received(data.subarray(at + 1));
    }
    this.#report = Buffer.concat([this.#report, data]);
    if (this.#report.length > MAX_REPORT_BYTES) return "malformed";
    if (this.#report.at(-1) !== NEWLINE) return null;
    return parseEnd(Buffer.from(this.#report).toString("utf8"));
  }

  printed(data: Uint8Array): void {
    this.#stderr.push(data.slice());
    this.#stderrBytes += data.length;
    if (this.#stderrBytes <= 2 * MAX_PRINTED_BYTES) return;
    this.#stderr = [Buffer.concat(this.#stderr).subarray(-MAX_PRINTED_BYTES)];
    this.#stderrBytes = MAX_PRINTED_BYTES;
  }

  ended({ exitCode, signal }: Pick<ExecResult, "exitCode" | "signal">): void {
    const stderr = Buffer.concat(this.#stderr);
    const counts = { stdoutBytes: 0, stderrBytes: stderr.length, durationMs: performance.now() - this.#started };
    const stdout = new Uint8Array(0);
    this.endedWith({ exitCode, signal, stdout, stderr, ...counts, timedOut: false, outOfMemory: false });
  }

  /** The server itself has ended, and its run with it. */
  endedWith(result: ExecResult): void {
    this.#over = true;
    this.#exit.resolve(result);
  }

  failed(error: unknown): void {
    this.#over = true;
    this.#exit.reject(error instanceof Error ? error : new Error(String(error)));
  }

  /** Where a line begins with the server's mark; -1 for nowhere. */
  #markIn(data: Uint8Array): number {
    const starts = this.#atLineStart && data[0] === MARK;
    this.#atLineStart = data.at(-1) === NEWLINE;
    if (starts) return 0;
    const at = Buffer.from(data.buffer, data.byteOffset, data.byteLength).indexOf("\n!");
    return at < 0 ? -1 : at + 1;
  }
}

function parseEnd(text: string): z.infer<typeof RunEnd> | "malformed" {
  try {
    return RunEnd.parse(JSON.parse(text));
  } catch {
    return "malformed";
  }
}
