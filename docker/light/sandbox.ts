import { GymError } from "../../core/errors.ts";
import type {
  DirectoryEntry,
  ExecRequest,
  ExecResult,
  FileResult,
  FileStat,
  ForwardedConnection,
  FreezeOptions,
  Programs,
  Sandbox,
  SandboxOpening,
  SandboxProcess,
  Shell,
  ShellOptions,
  Snapshot,
  SpawnRequest,
} from "../../core/sandbox.ts";
import type { AgentConnection } from "./agent-connection.ts";
import { Command, type CommandContext, type RunEnd } from "./command.ts";
import { SandboxFiles } from "./files.ts";
import { openForward } from "./forward.ts";
import { lostPrograms, runningPrograms } from "./programs.ts";
import { LightShell } from "./shell.ts";

const DEFAULT_READ = 16 * 1024 * 1024;
const DEFAULT_ENTRIES = 10_000;

/** What a sandbox needs of its provider. */
export interface SandboxHome {
  readonly id: string;
  readonly image: string;
  readonly opening: SandboxOpening;
  /** `lost`: what runs until then. */
  freeze(lost: Programs | null, options: FreezeOptions): Promise<Snapshot>;
  destroy(): Promise<void>;
}

/** One open sandbox of the light tier. */
export class LightSandbox implements Sandbox {
  readonly id: string;
  readonly image: string;
  readonly opening: SandboxOpening;
  readonly #connection: AgentConnection;
  readonly #home: SandboxHome;
  readonly #files: SandboxFiles;
  #closing: Promise<void> | null = null;

  constructor(connection: AgentConnection, home: SandboxHome) {
    this.id = home.id;
    this.image = home.image;
    this.opening = home.opening;
    this.#connection = connection;
    this.#home = home;
    this.#files = new SandboxFiles(connection);
  }

  async exec(request: ExecRequest, signal?: AbortSignal): Promise<ExecResult> {
    signal?.throwIfAborted();
    const stdin = request.stdin ?? (request.pty && ""); // on a terminal even nothing has to be typed
    const command = new Command(this.#context(), request, { stdin: stdin !== undefined, channel: false });
    const abort = (): void => void command.kill(); // its failure is the command's, seen below
    signal?.addEventListener("abort", abort, { once: true });
    try {
      if (stdin !== undefined) feed(command, stdin);
      const result = asResult(await command.exit);
      signal?.throwIfAborted();
      return result;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  async spawn(request: SpawnRequest): Promise<SandboxProcess> {
    return new Command(this.#context(), request, { stdin: true, channel: request.channel ?? false });
  }

  async shell(options: ShellOptions = {}): Promise<Shell> {
    return await LightShell.open(this.#context(), options);
  }

  async read(path: string, options: { readonly maxBytes?: number } = {}): Promise<FileResult<Uint8Array>> {
    return await this.#files.read(path, options.maxBytes ?? DEFAULT_READ);
  }

  async write(
    path: string,
    data: string | Uint8Array,
    options: { readonly mode?: number } = {},
  ): Promise<FileResult<void>> {
    return await this.#files.write(path, typeof data === "string" ? Buffer.from(data) : data, options.mode);
  }

  async list(
    path: string,
    options: { readonly depth?: number; readonly maxEntries?: number } = {},
  ): Promise<FileResult<DirectoryEntry[]>> {
    return await this.#files.list(path, options.depth ?? 1, options.maxEntries ?? DEFAULT_ENTRIES);
  }

  async stat(path: string): Promise<FileResult<FileStat>> {
    return await this.#files.stat(path);
  }

  async remove(path: string): Promise<FileResult<void>> {
    return await this.#files.remove(path);
  }

  async forward(port: number, onConnection: (connection: ForwardedConnection) => void): Promise<void> {
    await openForward(this.#connection, port, onConnection);
  }

  async programs(): Promise<Programs | null> {
    return await runningPrograms(this.#connection);
  }

  async freeze(options: FreezeOptions = {}): Promise<Snapshot> {
    const frozen = lostPrograms(this.#connection).then((lost) => this.#home.freeze(lost, options));
    this.#closing = frozen.then(
      () => undefined,
      () => undefined,
    );
    try {
      const snapshot = await frozen;
      this.#connection.lose(new GymError("sandbox_unavailable", `sandbox ${this.id} was frozen`));
      return snapshot;
    } catch (error) {
      this.#closing = null; // a refused freeze leaves the sandbox open
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#closing ??= this.#home.destroy();
    this.#connection.lose(new GymError("sandbox_unavailable", `sandbox ${this.id} is closed`));
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #context(): CommandContext {
    return { connection: this.#connection, onOverdue: () => this.#overdue() };
  }

  /** The agent is alive but its sandbox gives it no turn: nothing of it can be used any more. */
  #overdue(): void {
    this.#connection.lose(new GymError("sandbox_killed", `sandbox ${this.id} stopped answering`));
  }
}

function asResult({ shellEnded: _ended, ...result }: RunEnd): ExecResult {
  return result;
}

/** Input runs beside the command: one that reads nothing must not hold up its own end. */
function feed(command: Command, stdin: string | Uint8Array): void {
  const input = async (): Promise<void> => {
    await command.write(stdin);
    await command.closeStdin();
  };
  input().catch(() => undefined); // a lost connection is reported by the command's exit
}
