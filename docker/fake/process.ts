import { GymError } from "../../core/errors.ts";
import { type ExecResult, type SandboxProcess, type SpawnRequest, WORKSPACE } from "../../core/sandbox.ts";
import { OutputKeeper } from "../output-keeper.ts";
import type { FileTree } from "./file-tree.ts";
import { type CommandIo, runArgv, runScript, type ShellState } from "./interpreter.ts";

const DEFAULT_MAX_OUTPUT = 1024 * 1024;

export interface FakeRun {
  readonly tree: FileTree;
  readonly state: ShellState;
  readonly timeoutMs: number;
  readonly maxOutputBytes?: number | undefined;
  readonly mergeOutput?: boolean | undefined;
  readonly onOutput?: SpawnRequest["onOutput"] | undefined;
  /** Told of the end from outside: kill, close. */
  readonly signal: AbortSignal;
}

/** Runs `work` with the port's bounds: output caps, time-out, kill. */
export async function runBounded(
  run: FakeRun,
  stdin: Uint8Array,
  work: { readonly argv: readonly string[] } | { readonly script: string },
): Promise<ExecResult> {
  const started = performance.now();
  const kept = {
    stdout: new OutputKeeper(run.maxOutputBytes ?? DEFAULT_MAX_OUTPUT),
    stderr: new OutputKeeper(run.maxOutputBytes ?? DEFAULT_MAX_OUTPUT),
  };
  const deadline = AbortSignal.timeout(run.timeoutMs);
  const stop = AbortSignal.any([deadline, run.signal]);
  const stopped = Promise.withResolvers<null>();
  if (stop.aborted) stopped.resolve(null);
  else stop.addEventListener("abort", () => stopped.resolve(null), { once: true });
  const io: CommandIo = {
    tree: run.tree,
    stdin,
    out: (stream, data) => {
      const into = run.mergeOutput ? "stdout" : stream;
      kept[into].push(data);
      run.onOutput?.({ stream: into, data });
    },
    sleep: async (ms) => {
      const waited = Promise.withResolvers<null>();
      const timer = setTimeout(() => waited.resolve(null), ms);
      await Promise.race([waited.promise, stopped.promise]);
      clearTimeout(timer);
    },
    ended: () => stop.aborted,
  };
  const status = "argv" in work ? await runArgv(work.argv, io, run.state) : await runScript(work.script, io, run.state);
  const killed = stop.aborted || run.state.signal !== null;
  return {
    exitCode: killed ? null : status,
    signal: killed ? "SIGKILL" : null,
    stdout: kept.stdout.bytes(),
    stderr: kept.stderr.bytes(),
    stdoutBytes: kept.stdout.total,
    stderrBytes: kept.stderr.total,
    timedOut: deadline.aborted && !run.signal.aborted,
    outOfMemory: false,
    durationMs: performance.now() - started,
  };
}

/** A command that waits for its standard input to close before it runs, since the interpreter takes it whole. */
export class FakeProcess implements SandboxProcess {
  readonly exit: Promise<ExecResult>;
  readonly #input: Uint8Array[] = [];
  readonly #closed = Promise.withResolvers<void>();
  readonly #kill: AbortController;

  constructor(request: SpawnRequest, run: Omit<FakeRun, "signal">, closed: AbortSignal) {
    this.#kill = new AbortController();
    const signal = AbortSignal.any([this.#kill.signal, closed]);
    const readsInput = request.argv[0] === "cat" && request.argv.length === 1;
    if (!readsInput) this.#closed.resolve();
    signal.addEventListener("abort", () => this.#closed.resolve(), { once: true });
    this.exit = this.#closed.promise.then(() =>
      runBounded({ ...run, signal }, Buffer.concat(this.#input), { argv: request.argv }),
    );
  }

  async write(data: string | Uint8Array): Promise<void> {
    this.#input.push(typeof data === "string" ? Buffer.from(data) : data);
  }

  async closeStdin(): Promise<void> {
    this.#closed.resolve();
  }

  async resize(): Promise<void> {
    throw noTerminal();
  }

  async signal(name: string): Promise<void> {
    throw new GymError(
      "sandbox_unavailable",
      `the fake tier runs no programs that ${name} could reach: use the light tier`,
    );
  }

  async kill(): Promise<void> {
    this.#kill.abort();
    await this.exit;
  }

  async waitedMs(): Promise<null> {
    return null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

export function noTerminal(): GymError {
  return new GymError("sandbox_unavailable", "the fake tier has no terminals: use the light tier");
}

export function newState(cwd: string | undefined, env: Readonly<Record<string, string>>): ShellState {
  return { cwd: cwd ?? WORKSPACE, env: new Map(Object.entries(env)), exited: false, signal: null };
}
