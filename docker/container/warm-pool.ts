import type { ProviderLog } from "../log.ts";
import type { StartedContainer } from "./start.ts";

/** How long a started container may wait for its use. */
const TTL_MS = 5 * 60_000;
/** Kinds (image and limits) that are kept warm; the one that was not asked for longest goes first. */
const MOST_KINDS = 4;

export interface WarmPoolOptions {
  /** Containers that wait per kind. 0: no pool. */
  readonly size: number;
  readonly log: ProviderLog;
  readonly now?: () => number;
}

interface Waiting {
  readonly container: StartedContainer;
  readonly since: number;
}

interface Kind {
  readonly waiting: Waiting[];
  readonly start: () => Promise<StartedContainer>;
  starting: number;
}

/**
 * Started containers that nobody has used yet, by kind. Each is used once and never comes back; its place is filled again
 * in the background. Whoever opens the pool closes it.
 */
export class WarmPool {
  readonly #options: WarmPoolOptions;
  readonly #now: () => number;
  /** In order of last use. */
  readonly #kinds = new Map<string, Kind>();
  readonly #background = new Set<Promise<void>>();
  readonly #sweep: NodeJS.Timeout;
  #closed = false;

  constructor(options: WarmPoolOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#sweep = setInterval(() => this.expire(), 30_000).unref();
  }

  get waiting(): number {
    return [...this.#kinds.values()].reduce((sum, kind) => sum + kind.waiting.length, 0);
  }

  /** One that answers, or null; `start` makes the next ones of this kind. */
  async take(key: string, start: () => Promise<StartedContainer>): Promise<StartedContainer | null> {
    if (this.#options.size === 0 || this.#closed) return null;
    const kind = this.#kinds.get(key) ?? { waiting: [], start, starting: 0 };
    this.#kinds.delete(key);
    this.#kinds.set(key, kind);
    let taken: StartedContainer | null = null;
    while (!taken) {
      const next = kind.waiting.shift();
      if (!next) break;
      if (this.#now() - next.since < TTL_MS && (await answers(next.container))) taken = next.container;
      else this.#remove(next.container);
    }
    this.#fill(kind);
    this.#dropOldKinds();
    return taken;
  }

  /** Removes what has waited too long. */
  expire(): void {
    for (const kind of this.#kinds.values()) {
      const old = kind.waiting.filter(({ since }) => this.#now() - since >= TTL_MS);
      for (const one of old) {
        kind.waiting.splice(kind.waiting.indexOf(one), 1);
        this.#remove(one.container);
      }
    }
  }

  /** Resolves when nothing is being started or removed. */
  async settled(): Promise<void> {
    while (this.#background.size > 0) await Promise.all(this.#background);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#sweep);
    await this.settled();
    for (const kind of this.#kinds.values())
      for (const { container } of kind.waiting.splice(0)) this.#remove(container);
    this.#kinds.clear();
    await this.settled();
  }

  #fill(kind: Kind): void {
    while (!this.#closed && kind.waiting.length + kind.starting < this.#options.size) {
      kind.starting += 1;
      this.#inBackground(this.#startOne(kind));
    }
  }

  async #startOne(kind: Kind): Promise<void> {
    try {
      const container = await kind.start();
      if (this.#closed || ![...this.#kinds.values()].includes(kind)) this.#remove(container);
      else kind.waiting.push({ container, since: this.#now() });
    } finally {
      kind.starting -= 1;
    }
  }

  #dropOldKinds(): void {
    for (const [key, kind] of this.#kinds) {
      if (this.#kinds.size <= MOST_KINDS) return;
      this.#kinds.delete(key);
      for (const { container } of kind.waiting.splice(0)) this.#remove(container);
    }
  }

  #remove(container: StartedContainer): void {
    this.#inBackground(container.remove());
  }

  #inBackground(work: Promise<void>): void {
    const done = work
      .catch((error: unknown) =>
        this.#options.log.warn({ err: error }, "a warm container could not be started or removed"),
      )
      .finally(() => this.#background.delete(done));
    this.#background.add(done);
  }
}

/** Asked at checkout: it may have been killed while it waited. */
async function answers(container: StartedContainer): Promise<boolean> {
  return await container.ping().then(
    () => true,
    () => false,
  );
}
