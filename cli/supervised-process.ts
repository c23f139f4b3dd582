import { type ChildProcess, spawn } from "node:child_process";
import { open } from "node:fs/promises";

/** First wait before a restart; doubles up to the longest one. */
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 10_000;
/** A process that lived this long has proved itself: its next restart is quick again. */
const PROVEN_MS = 30_000;
/** Processes drain within 30 s (server and worker close sooner); then they are killed. */
const STOP_GRACE_MS = 30_000;

export interface ProcessSpec {
  /** For people, and the name of its log. */
  readonly name: string;
  readonly script: string;
  /** A fresh id for every start. */
  readonly newId: () => string;
  /** Its environment under this id. */
  readonly environment: (id: string) => Record<string, string>;
  /** Its standard output and error are appended there. */
  readonly logFile: string;
  /** Told when one has ended without being asked to. */
  readonly onDeath: (death: { id: string; how: string; restartInMs: number }) => void;
}

/**
 * One child process that is started again when it dies, sooner at first, then later and later.
 * stopped → running → (died → waiting → running)* → stopped.
 */
export class SupervisedProcess implements AsyncDisposable {
  readonly #spec: ProcessSpec;
  #child: ChildProcess | null = null;
  #exit: Promise<void> = Promise.resolve();
  #restart: NodeJS.Timeout | null = null;
  #backoffMs = FIRST_BACKOFF_MS;
  #stopping = false;
  #deaths = 0;

  constructor(spec: ProcessSpec) {
    this.#spec = spec;
  }

  /** How often it has ended without being asked to. */
  get deaths(): number {
    return this.#deaths;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  async start(): Promise<void> {
    if (this.#stopping) return;
    const { script, newId, environment, logFile } = this.#spec;
    const id = newId();
    const startedAt = performance.now();
    const log = await open(logFile, "a");
    // The kernel ends it when its supervisor dies, however that dies. Detached: Ctrl-C is for the supervisor alone.
    const argv = ["--pdeathsig", "TERM", process.execPath, script];
    const child = spawn("setpriv", argv, { env: environment(id), stdio: ["ignore", log.fd, log.fd], detached: true });
    await log.close();
    this.#child = child;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#exit = promise;
    const ended = (how: string) => {
      if (this.#child !== child) return;
      this.#child = null;
      resolve();
      if (!this.#stopping) this.#again(id, how, performance.now() - startedAt);
    };
    child.once("error", (error) => ended(error.message));
    child.once("exit", (code, signal) => ended(signal ?? `exit ${code}`));
    if (this.#stopping) child.kill("SIGTERM");
  }

  #again(id: string, how: string, livedMs: number): void {
    if (livedMs > PROVEN_MS) this.#backoffMs = FIRST_BACKOFF_MS;
    const restartInMs = this.#backoffMs;
    this.#backoffMs = Math.min(LONGEST_BACKOFF_MS, restartInMs * 2);
    this.#deaths += 1;
    this.#spec.onDeath({ id, how, restartInMs });
    this.#restart = setTimeout(() => {
      this.start().catch((error: unknown) => this.#again(id, String(error), 0));
    }, restartInMs);
  }

  /** Asks it to end, then kills it. Idempotent. */
  async stop(): Promise<void> {
    this.#stopping = true;
    if (this.#restart !== null) clearTimeout(this.#restart);
    const child = this.#child;
    if (child === null) return;
    child.kill("SIGTERM");
    const killer = setTimeout(() => child.kill("SIGKILL"), STOP_GRACE_MS);
    await this.#exit;
    clearTimeout(killer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
