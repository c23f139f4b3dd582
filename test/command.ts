import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

export const root = join(import.meta.dirname, "..");

export interface CommandOptions {
  /** Added to this process's environment; undefined removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly input?: string;
  readonly cwd?: string;
  /** Killed after this long. (Default: 60000) */
  readonly timeoutMs?: number;
  readonly uid?: number;
}

export interface CommandResult {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command under way; what it prints is kept. */
export class RunningCommand implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly finished: Promise<CommandResult>;
  #stdout = "";
  #stderr = "";
  #onOutput: () => void = () => undefined;

  constructor(argv: readonly string[], { env, input, cwd = root, uid }: CommandOptions = {}) {
    const [command = "", ...args] = argv;
    this.child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["pipe", "pipe", "pipe"],
      ...(uid === undefined ? {} : { uid, gid: uid }),
    });
    this.child.stdin?.on("error", () => undefined);
    this.child.stdin?.end(input ?? "");
    this.child.stdout?.on("data", (chunk: Buffer) => {
      this.#stdout += chunk.toString();
      this.#onOutput();
    });
    this.child.stderr?.on("data", (chunk: Buffer) => {
      this.#stderr += chunk.toString();
      this.#onOutput();
    });
    this.finished = this.#finish();
    this.finished.catch(() => undefined); // whoever awaits it sees the failure
  }

  async #finish(): Promise<CommandResult> {
    await once(this.child, "close");
    return { exitCode: this.child.exitCode, signal: this.child.signalCode, stdout: this.#stdout, stderr: this.#stderr };
  }

  /** Resolves with the first match in what it has printed so far or prints until the deadline. */
  async prints(pattern: RegExp, deadlineMs: number): Promise<RegExpExecArray> {
    const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>();
    const look = () => {
      const match = pattern.exec(this.#stdout) ?? pattern.exec(this.#stderr);
      if (match !== null) resolve(match);
    };
    const fail = (why: string) => reject(new Error(`${why} before ${pattern}:\n${this.#stdout}\n${this.#stderr}`));
    this.#onOutput = look;
    const timer = setTimeout(() => fail(`nothing for ${deadlineMs} ms`), deadlineMs);
    this.child.once("close", () => fail("ended"));
    look();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#onOutput = () => undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill("SIGTERM");
    await this.finished;
  }
}

/** Runs a command to its end. */
export async function run(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const command = new RunningCommand(argv, options);
  const timer = setTimeout(() => command.child.kill("SIGKILL"), options.timeoutMs ?? 60_000);
  try {
    return await command.finished;
  } finally {
    clearTimeout(timer);
  }
}
