import { GymError } from "../../core/errors.ts";
import type {
  DirectoryEntry,
  ExecRequest,
  ExecResult,
  FileResult,
  FileStat,
  Programs,
  Sandbox,
  SandboxProcess,
  Shell,
  ShellOptions,
  ShellResult,
  ShellRunOptions,
  Snapshot,
  SpawnRequest,
} from "../../core/sandbox.ts";
import { checkBounds } from "../light/command.ts";
import { programsOf } from "../light/programs.ts";
import type { FileTree } from "./file-tree.ts";
import { absolute, type ShellState } from "./interpreter.ts";
import { FakeProcess, type FakeRun, newState, noTerminal, runBounded } from "./process.ts";

export interface FakeHome {
  readonly id: string;
  readonly image: string;
  readonly env: Readonly<Record<string, string>>;
  freeze(lost: Programs): Snapshot;
  forget(): void;
}

/** A sandbox in memory. It protects nothing: it runs no foreign code, only the interpreter's own commands. */
export class FakeSandbox implements Sandbox {
  readonly id: string;
  readonly image: string;
  readonly opening = { queuedMs: 0, startMs: 0 };
  readonly #tree: FileTree;
  readonly #home: FakeHome;
  readonly #closed = new AbortController();
  readonly #running = new Map<FakeProcess, string>();

  constructor(tree: FileTree, home: FakeHome) {
    this.id = home.id;
    this.image = home.image;
    this.#tree = tree;
    this.#home = home;
  }

  async exec(request: ExecRequest, signal?: AbortSignal): Promise<ExecResult> {
    signal?.throwIfAborted();
    const kill = AbortSignal.any([this.#closed.signal, ...(signal ? [signal] : [])]);
    const stdin = typeof request.stdin === "string" ? Buffer.from(request.stdin) : (request.stdin ?? new Uint8Array(0));
    const result = await runBounded({ ...this.#run(request), signal: kill }, stdin, { argv: request.argv });
    signal?.throwIfAborted();
    this.#check();
    return result;
  }

  async spawn(request: SpawnRequest): Promise<SandboxProcess> {
    const started = new FakeProcess(request, this.#run(request), this.#closed.signal);
    this.#running.set(started, request.argv[0]?.split("/").pop() ?? "");
    void started.exit.finally(() => this.#running.delete(started)); // exit never rejects
    return started;
  }

  async shell(options: ShellOptions = {}): Promise<Shell> {
    this.#check();
    const state = newState(options.cwd, { ...this.#home.env, ...options.env });
    return new FakeShell(this.#tree, state, this.#closed.signal);
  }

  async read(path: string, options: { readonly maxBytes?: number } = {}): Promise<FileResult<Uint8Array>> {
    return this.#at(path, (at) => this.#tree.read(at, options.maxBytes ?? 16 * 1024 * 1024));
  }

  async write(
    path: string,
    data: string | Uint8Array,
    options: { readonly mode?: number } = {},
  ): Promise<FileResult<void>> {
    return this.#at(path, (at) =>
      this.#tree.write(at, typeof data === "string" ? Buffer.from(data) : data, options.mode),
    );
  }

  async list(
    path: string,
    options: { readonly depth?: number; readonly maxEntries?: number } = {},
  ): Promise<FileResult<DirectoryEntry[]>> {
    return this.#at(path, (at) => this.#tree.list(at, options.depth ?? 1, options.maxEntries ?? 10_000));
  }

  async stat(path: string): Promise<FileResult<FileStat>> {
    return this.#at(path, (at) => this.#tree.stat(at));
  }

  async remove(path: string): Promise<FileResult<void>> {
    return this.#at(path, (at) => this.#tree.remove(at));
  }

  /** Its programs make no connections. */
  async forward(): Promise<void> {
    throw new GymError("sandbox_unavailable", "the fake tier has no network inside: use light or docker");
  }

  async programs(): Promise<Programs | null> {
    this.#check();
    return this.#programs();
  }

  async freeze(): Promise<Snapshot> {
    this.#check();
    const lost = this.#programs();
    this.#closed.abort();
    return this.#home.freeze(lost);
  }

  async close(): Promise<void> {
    this.#closed.abort();
    this.#home.forget();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #programs(): Programs {
    return programsOf(this.#running.size, [...this.#running.values()]);
  }

  #check(): void {
    if (this.#closed.signal.aborted) throw new GymError("sandbox_unavailable", `sandbox ${this.id} is closed`);
  }

  #at<T>(path: string, act: (path: string) => FileResult<T>): FileResult<T> {
    this.#check();
    if (path === "" || path.includes("\0")) return { ok: false, error: "invalid_path", message: "a path has no NUL" };
    return act(absolute(path, "/workspace"));
  }

  #run(request: ExecRequest): Omit<FakeRun, "signal"> {
    this.#check();
    checkBounds(request);
    if (request.pty) throw noTerminal();
    if (request.argv.length === 0) throw new RangeError("argv must name a program");
    const { timeoutMs, maxOutputBytes, mergeOutput, onOutput } = request;
    const state = newState(request.cwd, { ...this.#home.env, ...request.env });
    return { tree: this.#tree, state, timeoutMs, maxOutputBytes, mergeOutput, onOutput };
  }
}

class FakeShell implements Shell {
  readonly #tree: FileTree;
  readonly #state: ShellState;
  readonly #closed: AbortSignal;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(tree: FileTree, state: ShellState, closed: AbortSignal) {
    this.#tree = tree;
    this.#state = state;
    this.#closed = closed;
  }

  async run(command: string, options: ShellRunOptions): Promise<ShellResult> {
    checkBounds(options);
    const result = this.#queue.then(() => this.#run(command, options));
    this.#queue = result.catch(() => undefined);
    return await result;
  }

  async close(): Promise<void> {
    this.#state.exited = true;
    await this.#queue;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #run(command: string, options: ShellRunOptions): Promise<ShellResult> {
    if (this.#state.exited || this.#closed.aborted)
      throw new GymError("sandbox_unavailable", "the shell has ended: open a new one");
    const run = { tree: this.#tree, state: this.#state, signal: this.#closed, ...options };
    const { signal: _signal, ...result } = await runBounded(run, new Uint8Array(0), { script: command });
    if (result.timedOut) this.#state.exited = true;
    return { ...result, exited: this.#state.exited };
  }
}
