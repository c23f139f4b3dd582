import type { LineProcess, TrustedServer } from "../../core/verifier.ts";
import { CompiledCode } from "./compiled-code.ts";
import type { ServerProcess } from "./server-process.ts";

/** Idle servers kept in one worker process: some 15 MB each, and more than verifications run at once. */
const MAX_IDLE = 16;
/** Of one server: what a fault of an interpreter could carry from run to run is bounded by it. */
const MAX_RUNS = 500;
const MAX_AGE_MS = 600_000;
/** An idle one is worth its memory while attempts at the same tasks keep coming. */
const IDLE_MS = 60_000;

interface Kept {
  readonly key: string;
  readonly server: ServerProcess;
  readonly bornAt: number;
  runs: number;
  idleSince: number;
}

export interface LendRequest {
  /** Servers of one key are alike. */
  readonly key: string;
  readonly start: () => Promise<ServerProcess>;
}

export interface ServerPoolOptions {
  /** Runs of one server; 1 makes every run a fresh server's. (Default: 500) */
  readonly maxRuns?: number;
  readonly now?: () => number;
}

/** Trusted servers of one worker process, lent to one room at a time. Close it before its provider. */
export class ServerPool implements AsyncDisposable {
  /** What its servers have compiled. */
  readonly compiled = new CompiledCode();
  readonly #maxRuns: number;
  readonly #now: () => number;
  /** The longest idle first. */
  #idle: Kept[] = [];
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor({ maxRuns = MAX_RUNS, now = () => performance.now() }: ServerPoolOptions = {}) {
    this.#maxRuns = maxRuns;
    this.#now = now;
  }

  /** Sandboxes that it holds for later rooms. */
  get idle(): number {
    return this.#idle.length;
  }

  async lend({ key, start }: LendRequest): Promise<Lease> {
    const kept = this.#take(key) ?? { key, server: await start(), bornAt: this.#now(), runs: 0, idleSince: 0 };
    return new Lease({
      server: kept.server,
      onRun: () => kept.runs++,
      giveBack: () => this.#giveBack(kept),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#drop(() => true);
  }

  #take(key: string): Kept | null {
    for (;;) {
      const at = this.#idle.findLastIndex((kept) => kept.key === key);
      const [kept] = at < 0 ? [] : this.#idle.splice(at, 1);
      if (kept === undefined) return null;
      if (this.#mayServe(kept)) return kept;
      // Its sandbox is lost or old; that it cannot be closed is the provider's to tell, and to reap.
      kept.server.close().catch(() => undefined);
    }
  }

  #mayServe({ server, runs, bornAt }: Kept): boolean {
    return server.usable && runs < this.#maxRuns && this.#now() - bornAt < MAX_AGE_MS;
  }

  async #giveBack(kept: Kept): Promise<void> {
    if (this.#closed || !this.#mayServe(kept)) return kept.server.close();
    kept.idleSince = this.#now();
    this.#idle.push(kept);
    this.#timer ??= setTimeout(() => this.#sweep(), IDLE_MS).unref();
    const surplus = new Set(this.#idle.slice(0, Math.max(0, this.#idle.length - MAX_IDLE)));
    await this.#drop((one) => surplus.has(one));
  }

  #sweep(): void {
    this.#timer = this.#closed || this.#idle.length === 0 ? null : setTimeout(() => this.#sweep(), IDLE_MS).unref();
    this.#drop((kept) => this.#now() - kept.idleSince >= IDLE_MS || !this.#mayServe(kept)).catch(() => undefined);
  }

  async #drop(which: (kept: Kept) => boolean): Promise<void> {
    const dropped = this.#idle.filter(which);
    this.#idle = this.#idle.filter((kept) => !dropped.includes(kept));
    await Promise.all(dropped.map(({ server }) => server.close()));
  }
}

interface LeaseOptions {
  readonly server: ServerProcess;
  readonly onRun: () => void;
  readonly giveBack: () => Promise<void>;
}

/** A server in one room's hands. */
export class Lease implements TrustedServer {
  readonly #options: LeaseOptions;
  #returned: Promise<void> | null = null;

  constructor(options: LeaseOptions) {
    this.#options = options;
  }

  run(onChannel: (data: Uint8Array) => void): LineProcess {
    this.#options.onRun();
    return this.#options.server.run(onChannel);
  }

  /** Ends it, whatever it does. */
  revoke(): Promise<void> {
    this.#returned ??= this.#options.server.close();
    return this.#returned;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#returned ??= this.#options.giveBack();
    return this.#returned;
  }
}
