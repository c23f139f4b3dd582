import { setTimeout as sleep } from "node:timers/promises";
import { GymError } from "../core/errors.ts";
import type { ProviderLog } from "./log.ts";

/** How long a started sandbox may wait for its use; one that nobody asked for so long is not made again. */
const TTL_MS = 5 * 60_000;
const SWEEP_MS = 30_000;
/** From a checkout's question to the answer; a sandbox that takes longer is not handed out. */
const CHECK_MS = 1_000;
/** The caller's own first steps come before the next warm one; so does everybody else on a saturated machine. */
const PAUSE_MS = 5;
/** A machine that stays saturated is looked at less and less often: each look takes from its work. */
const LONGEST_PAUSE_MS = 80;

/** A sandbox that runs and that nobody has used. */
export interface Warm {
  /** Ends it and frees everything. Idempotent. */
  remove(): Promise<void>;
}

/** Warm sandboxes of one kind are interchangeable. */
export interface WarmKind<T> {
  /** Equal for what starts the same way: image, frozen state, limits. */
  readonly key: string;
  /** What it stands on, for {@link WarmPool.drop}. */
  readonly group?: string | undefined;
  start(): Promise<T>;
}

export interface WarmPoolOptions {
  /** Most that wait per kind. 0: no pool. */
  readonly size: number;
  /** Kinds kept warm, so that at most `size` times as many wait in all; the one not asked for longest goes first. */
  readonly kinds: number;
  /** A kind asked for less often than this gets none: it may never come again. */
  readonly after: number;
  /** True while a start would take the processor from somebody who waits; nothing is made meanwhile. */
  readonly saturated: () => boolean;
  readonly log: ProviderLog;
  readonly now?: () => number;
}

interface Entry<T> {
  readonly kind: WarmKind<T>;
  readonly waiting: { readonly one: T; readonly since: number }[];
  asked: number;
  lastAsked: number;
  /** How many should wait: as many as it was asked for again. 0 after a start that failed. */
  wanted: number;
  starting: Promise<void> | null;
}

/**
 * Started sandboxes by kind. Each is used once and never comes back; its place is filled again in the background, one at a
 * time and only while the machine has room. Whoever opens the pool closes it.
 */
export class WarmPool<T extends Warm> {
  readonly #options: WarmPoolOptions;
  readonly #now: () => number;
  /** In order of last use. */
  readonly #entries = new Map<string, Entry<T>>();
  readonly #removing = new Set<Promise<void>>();
  readonly #sweep: NodeJS.Timeout;
  readonly #closed = new AbortController();
  #filling: Promise<void> | null = null;

  constructor(options: WarmPoolOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#sweep = setInterval(() => this.expire(), SWEEP_MS).unref();
  }

  get waiting(): number {
    return [...this.#entries.values()].reduce((sum, entry) => sum + entry.waiting.length, 0);
  }

  /** One that passes `check`, or null; then the caller starts its own. */
  async take(kind: WarmKind<T>, check: (one: T) => Promise<unknown>): Promise<T | null> {
    const { size, after } = this.#options;
    if (size === 0 || this.#closed.signal.aborted) return null;
    const entry = this.#touch(kind);
    entry.wanted = Math.min(size, Math.max(0, ++entry.asked - after + 1));
    try {
      for (let next = entry.waiting.shift(); next; next = entry.waiting.shift()) {
        if (this.#now() - next.since < TTL_MS && (await passes(check(next.one)))) return next.one;
        void this.#remove(next.one); // settled() waits for it
      }
      return null;
    } finally {
      this.#fill();
    }
  }

  /** Removes all that stand on `group`, also one that is just starting. Resolves when they are gone. (Default: all) */
  async drop(group?: string): Promise<void> {
    const gone = [...this.#entries.values()].filter(({ kind }) => group === undefined || kind.group === group);
    await Promise.all(
      gone.map(async (entry) => {
        const removed = this.#forget(entry);
        await entry.starting;
        await removed;
      }),
    );
  }

  /** Removes what has waited too long. */
  expire(): void {
    const old = (since: number): boolean => this.#now() - since >= TTL_MS;
    for (const entry of this.#entries.values()) {
      if (old(entry.lastAsked)) void this.#forget(entry); // settled() waits for it
      while (entry.waiting[0] && old(entry.waiting[0].since)) {
        const first = entry.waiting.shift();
        if (first) void this.#remove(first.one); // settled() waits for it
      }
    }
    this.#fill();
  }

  /** Resolves when nothing is being started or removed. */
  async settled(): Promise<void> {
    while (this.#filling || this.#removing.size > 0) await Promise.all([this.#filling, ...this.#removing]);
  }

  async close(): Promise<void> {
    this.#closed.abort();
    clearInterval(this.#sweep);
    await this.drop();
    await this.settled();
  }

  #touch(kind: WarmKind<T>): Entry<T> {
    const now = this.#now();
    const entry = this.#entries.get(kind.key) ?? {
      ...{ kind, waiting: [], asked: 0, wanted: 0, starting: null },
      lastAsked: now,
    };
    entry.lastAsked = now;
    this.#entries.delete(kind.key);
    this.#entries.set(kind.key, entry);
    const oldest = this.#entries.values().next().value;
    if (this.#entries.size > this.#options.kinds && oldest) void this.#forget(oldest); // settled() waits for it
    return entry;
  }

  async #forget(entry: Entry<T>): Promise<void> {
    this.#entries.delete(entry.kind.key);
    await Promise.all(entry.waiting.splice(0).map(({ one }) => this.#remove(one)));
  }

  #fill(): void {
    if (this.#filling || this.#closed.signal.aborted || !this.#lacking()) return;
    this.#filling = this.#fillAll().finally(() => {
      this.#filling = null;
    });
  }

  #lacking(): Entry<T> | undefined {
    return [...this.#entries.values()].findLast((entry) => entry.waiting.length < entry.wanted);
  }

  async #fillAll(): Promise<void> {
    for (let pause = PAUSE_MS; ; ) {
      await sleep(pause, undefined, { signal: this.#closed.signal, ref: false }).catch(() => undefined); // closed
      const entry = this.#lacking();
      if (!entry || this.#closed.signal.aborted) return;
      const busy = this.#options.saturated();
      pause = busy ? Math.min(2 * pause, LONGEST_PAUSE_MS) : PAUSE_MS;
      if (busy) continue;
      entry.starting = this.#startOne(entry);
      await entry.starting;
      entry.starting = null;
    }
  }

  async #startOne(entry: Entry<T>): Promise<void> {
    const kept = (): boolean => this.#entries.get(entry.kind.key) === entry && !this.#closed.signal.aborted;
    try {
      const one = await entry.kind.start();
      if (kept()) entry.waiting.push({ one, since: this.#now() });
      else await this.#remove(one);
    } catch (error) {
      entry.wanted = 0;
      if (kept()) this.#options.log.warn({ err: error }, "a sandbox could not be started ahead");
    }
  }

  async #remove(one: T): Promise<void> {
    const done = one
      .remove()
      .catch((error: unknown) => this.#options.log.warn({ err: error }, "a warm sandbox could not be removed"))
      .finally(() => this.#removing.delete(done));
    this.#removing.add(done);
    await done;
  }
}

/** Asked at checkout: it may have been killed while it waited. */
async function passes(check: Promise<unknown>): Promise<boolean> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new GymError("sandbox_lost", "it does not answer")), CHECK_MS);
  try {
    await Promise.race([check, late.promise]);
    return true;
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
  }
}
