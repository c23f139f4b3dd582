import { GymError } from "../../core/errors.ts";
import {
  type ExecRequest,
  type ExecResult,
  mostWithheldMs,
  type OutputChunk,
  type SandboxProcess,
  type TerminalSize,
  WORKSPACE,
} from "../../core/sandbox.ts";
import { OutputKeeper } from "../output-keeper.ts";
import { signalName, signalNumber } from "../signal-names.ts";
import { type AgentConnection, type FrameHandler, isOwnLimit, refused } from "./agent-connection.ts";
import { type Frame, MAX_FRAME, Payload, PayloadReader } from "./frames.ts";
import { answers, waitedMs } from "./waits.ts";

export const DEFAULT_MAX_OUTPUT = 1024 * 1024;
/** More would let one command fill the sandbox's memory with its own output. */
const MOST_OUTPUT = 64 * 1024 * 1024;
const INPUT_PIECE = 64 * 1024;
/** Input that a program has not taken yet, as far as the agent has told (agent-jobs.c): with more no piece is sent. */
const MOST_UNTAKEN = 64 * 1024;
/** The agent itself ends a command in time; one that does not answer by then was starved by its own sandbox. */
const ANSWER_GRACE_MS = 15_000;

export const FLAG_MERGE = 1;
export const FLAG_STREAM = 2;
export const FLAG_STDIN = 4;
export const FLAG_CHANNEL = 8;
export const FLAG_PTY = 16;
const WIDEST_TERMINAL = 1_000;

export interface RunBounds {
  readonly timeoutMs: number;
  readonly maxOutputBytes?: number;
  readonly onOutput?: (chunk: OutputChunk) => void;
  readonly pty?: TerminalSize;
}

/** A caller's mistake, not a state of the sandbox. */
export function checkBounds(bounds: RunBounds): void {
  const { timeoutMs, maxOutputBytes, pty } = bounds;
  if (!Number.isInteger(timeoutMs) || timeoutMs < 1 || timeoutMs > 3_600_000)
    throw new RangeError(`timeoutMs must be 1..3600000, got ${timeoutMs}`);
  if (maxOutputBytes !== undefined && !(maxOutputBytes >= 0 && maxOutputBytes <= MOST_OUTPUT))
    throw new RangeError(`maxOutputBytes must be 0..${MOST_OUTPUT}, got ${maxOutputBytes}`);
  if (pty) checkSize(pty);
}

export interface CommandContext {
  readonly connection: AgentConnection;
  /** Ends the sandbox: its agent does not answer. */
  onOverdue(): void;
}

export interface RunEnd extends ExecResult {
  readonly shellEnded: boolean;
}

const streams: Readonly<Record<string, OutputChunk["stream"]>> = { O: "stdout", R: "stderr", H: "channel" };

/** Gathers the answer to one command or one run of a shell. */
export class RunCollector implements FrameHandler {
  /** Of the request that it gathers the answer to. */
  readonly id: number;
  readonly done = Promise.withResolvers<RunEnd>();
  readonly #stdout: OutputKeeper;
  readonly #stderr: OutputKeeper;
  readonly #onOutput: ((chunk: OutputChunk) => void) | undefined;
  readonly #context: CommandContext;
  readonly #latest: number;
  #overdue: NodeJS.Timeout;
  #over = false;
  /** Called when the program has taken so many bytes of input. */
  onTaken: (bytes: number) => void = () => undefined;

  constructor(bounds: RunBounds, context: CommandContext) {
    const most = bounds.maxOutputBytes ?? DEFAULT_MAX_OUTPUT;
    this.#stdout = new OutputKeeper(most);
    this.#stderr = new OutputKeeper(most);
    this.#onOutput = bounds.onOutput;
    this.#context = context;
    this.id = context.connection.register(this);
    this.#latest = performance.now() + bounds.timeoutMs + mostWithheldMs(bounds.timeoutMs) + ANSWER_GRACE_MS;
    this.#overdue = this.#watch(bounds.timeoutMs + ANSWER_GRACE_MS);
    this.done.promise.catch(() => undefined); // whoever waits for it sees the error; nobody has to
  }

  frame(frame: Frame): void {
    const stream = streams[frame.type];
    if (stream) this.#take(stream, frame.payload);
    else if (frame.type === "i") this.onTaken(new PayloadReader(frame.payload).u32());
    else this.#finish(frame);
  }

  #watch(ms: number): NodeJS.Timeout {
    return setTimeout(() => void this.#late(), ms); // never rejects
  }

  /** This process may have been held up itself: what it has not read yet comes before the agent's next answer. */
  async #late(): Promise<void> {
    const alive = await answers(this.#context.connection);
    if (this.#over) return;
    if (alive && performance.now() < this.#latest) this.#overdue = this.#watch(ANSWER_GRACE_MS);
    else this.#context.onOverdue();
  }

  #finish(frame: Frame): void {
    this.#end();
    if (frame.type === "X") this.done.resolve(this.#resultOf(new PayloadReader(frame.payload)));
    else this.#refuse(frame.payload.toString());
  }

  /** What the sandbox's own programs leave no room for is their doing, a value; another refusal is the tier's. */
  #refuse(text: string): void {
    if (isOwnLimit(text)) this.done.resolve(unstartable(`cannot start the command: ${text}`));
    else this.done.reject(refused(text));
  }

  #end(): void {
    this.#over = true;
    clearTimeout(this.#overdue);
  }

  fail(error: GymError): void {
    this.#end();
    this.done.reject(error);
  }

  #take(stream: OutputChunk["stream"], data: Uint8Array): void {
    if (stream === "stdout") this.#stdout.push(data);
    if (stream === "stderr") this.#stderr.push(data);
    this.#onOutput?.({ stream, data });
  }

  #resultOf(reader: PayloadReader): RunEnd {
    const status = reader.u32();
    const timedOut = reader.u8() === 1;
    const outOfMemory = reader.u8() === 1;
    const shellEnded = reader.u8() === 1;
    const signal = status & 0x7f;
    return {
      exitCode: timedOut || signal !== 0 ? null : (status >> 8) & 0xff,
      signal: timedOut ? "SIGKILL" : signal === 0 ? null : signalName(signal),
      stdout: this.#stdout.bytes(),
      stderr: this.#stderr.bytes(),
      stdoutBytes: reader.u64(),
      stderrBytes: reader.u64(),
      timedOut,
      outOfMemory,
      shellEnded,
      durationMs: reader.u64() / 1000,
    };
  }
}

function checkSize({ columns, rows }: TerminalSize): void {
  for (const [name, value] of Object.entries({ columns, rows }))
    if (!Number.isInteger(value) || value < 1 || value > WIDEST_TERMINAL)
      throw new RangeError(`${name} must be 1..${WIDEST_TERMINAL}, got ${value}`);
}

/** A command that the kernel would refuse to start ends as if it had been started and refused. */
function unstartable(text: string): RunEnd {
  const stderr = Buffer.from(`${text}\n`);
  const empty = new Uint8Array(0);
  const counts = { stdout: empty, stderr, stdoutBytes: 0, stderrBytes: stderr.length, durationMs: 0 };
  return { exitCode: 126, signal: null, ...counts, timedOut: false, outOfMemory: false, shellEnded: false };
}

function startFrame(request: ExecRequest, id: number, flags: number): Buffer | string {
  const env = Object.entries(request.env ?? {}).map(([name, value]) => `${name}=${value}`);
  const cwd = request.cwd ?? WORKSPACE;
  if ([...request.argv, ...env, cwd].some((text) => text.includes("\0"))) return "an argument holds a NUL byte";
  const payload = new Payload()
    .u32(flags)
    .u32(request.timeoutMs)
    .u32(request.maxOutputBytes ?? DEFAULT_MAX_OUTPUT)
    .text(cwd)
    .strings(request.argv)
    .strings(env);
  if (request.pty) payload.u32(request.pty.columns).u32(request.pty.rows);
  const frame = payload.frame(id, "E");
  return frame.length > MAX_FRAME || request.argv.length > 60_000 ? "Argument list too long" : frame;
}

/** One command in a sandbox, with open streams. */
export class Command implements SandboxProcess {
  readonly exit: Promise<RunEnd>;
  readonly #connection: AgentConnection;
  readonly #id: number;
  readonly #collector: RunCollector;
  #ended = false;
  #writing: Promise<void> = Promise.resolve();
  #untaken = 0;
  #taken = Promise.withResolvers<void>();

  constructor(
    context: CommandContext,
    request: ExecRequest,
    options: { readonly stdin: boolean; readonly channel: boolean },
  ) {
    if (request.argv.length === 0) throw new RangeError("argv must name a program");
    checkBounds(request);
    this.#connection = context.connection;
    this.#collector = new RunCollector(request, context);
    this.#collector.onTaken = (bytes) => {
      this.#untaken -= bytes;
      this.#taken.resolve();
    };
    this.#id = this.#collector.id;
    const flags =
      (request.mergeOutput ? FLAG_MERGE : 0) |
      (request.onOutput ? FLAG_STREAM : 0) |
      (options.stdin ? FLAG_STDIN : 0) |
      (options.channel ? FLAG_CHANNEL : 0) |
      (request.pty ? FLAG_PTY : 0);
    const frame = startFrame(request, this.#id, flags);
    this.exit = this.#collector.done.promise.finally(() => this.#end());
    this.exit.catch(() => undefined); // seen by whoever waits for it
    if (typeof frame === "string") {
      this.#collector.fail(new GymError("sandbox_unavailable", frame));
      this.exit = Promise.resolve(unstartable(frame));
      this.#end();
    } else {
      this.#connection.send(frame);
    }
  }

  async write(data: string | Uint8Array): Promise<void> {
    const bytes = typeof data === "string" ? Buffer.from(data) : data;
    const written = this.#writing.then(() => this.#writePieces(bytes));
    this.#writing = written.catch(() => undefined);
    await written;
  }

  async closeStdin(): Promise<void> {
    await this.#writing;
    if (!this.#ended) this.#connection.send(new Payload().frame(this.#id, "C"));
  }

  async resize(size: TerminalSize): Promise<void> {
    checkSize(size);
    if (!this.#ended) this.#connection.send(new Payload().u32(size.columns).u32(size.rows).frame(this.#id, "J"));
  }

  async signal(name: string): Promise<void> {
    const number = signalNumber(name);
    if (number === null) throw new RangeError(`${name} is no signal's name: use one like SIGINT`);
    if (!this.#ended) this.#connection.send(new Payload().u32(number).frame(this.#id, "Q"));
  }

  async kill(): Promise<void> {
    // Also after its end: what it left in the background goes too.
    if (!this.#connection.lost) this.#connection.send(new Payload().frame(this.#id, "K"));
    await this.exit.catch(() => undefined);
  }

  async waitedMs(): Promise<number | null> {
    return this.#connection.lost ? null : await waitedMs(this.#connection);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  #end(): void {
    this.#ended = true;
    this.#taken.resolve();
    this.#connection.unregister(this.#id);
  }

  async #writePieces(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += INPUT_PIECE) {
      while (this.#untaken > MOST_UNTAKEN && !this.#ended) {
        this.#taken = Promise.withResolvers();
        await this.#taken.promise;
      }
      if (this.#ended) return;
      const piece = bytes.subarray(at, at + INPUT_PIECE);
      this.#untaken += piece.length;
      this.#connection.send(new Payload().bytes(piece).frame(this.#id, "I"));
    }
  }
}
