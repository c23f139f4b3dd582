import type { EpisodeRecord, PendingReason } from "../core/episode.ts";
import type { Presence } from "../core/mail.ts";
import type { ServerDeps } from "./parts.ts";

/** Workers say who they are every second; asking more often shows nothing new. */
const FRESH_MS = 1_000;

/** What `read` gave, for a second. */
class Remembered<T> {
  readonly #read: () => Promise<T>;
  #known: { at: number; value: Promise<T> } | null = null;

  constructor(read: () => Promise<T>) {
    this.#read = read;
  }

  async get(now: number): Promise<T> {
    if (this.#known === null || now - this.#known.at > FRESH_MS) {
      const known = { at: now, value: this.#read() };
      this.#known = known;
      known.value.catch(() => {
        if (this.#known === known) this.#known = null;
      });
    }
    return this.#known.value;
  }

  forget(): void {
    this.#known = null;
  }
}

/** Who works, how much room they have and whether they may take episodes, as of the last second. */
export class Occupancy {
  readonly #workers: Remembered<Presence[]>;
  readonly #paused: Remembered<boolean>;

  constructor({ workers, store }: Pick<ServerDeps, "workers" | "store">) {
    this.#workers = new Remembered(workers);
    this.#paused = new Remembered(async () => (await store.halted("queue")).includes("episode"));
  }

  /** An operator has just changed it: what is known is not true any more. */
  lookAgain(): void {
    this.#workers.forget();
    this.#paused.forget();
  }

  async workers(now = Date.now()): Promise<readonly Presence[]> {
    return this.#workers.get(now);
  }

  /** Why a queued episode has not started. */
  async pendingReason(record: EpisodeRecord): Promise<PendingReason | null> {
    if (record.state !== "queued") return record.pending_reason;
    return (await this.placeReason()) ?? record.pending_reason;
  }

  /** Why nothing that waits for a place gets one; null when a worker could take it now. */
  async placeReason(): Promise<PendingReason | null> {
    if (await this.#paused.get(Date.now())) return "paused";
    const workers = await this.workers();
    if (workers.length === 0) return "no_worker";
    const running = workers.filter((worker) => worker.state === "running");
    if (running.length === 0) return "draining";
    return running.every((worker) => worker.live >= worker.capacity) ? "no_capacity" : null;
  }

  /** Names of what no single worker here has all of; empty: one has them all, or none says anything yet. */
  async missingRuntimes(needed: readonly string[]): Promise<readonly string[]> {
    const workers = await this.workers();
    const lacks = workers.map((worker) => needed.filter((name) => !worker.runtimes.includes(name)));
    return lacks.toSorted((a, b) => a.length - b.length)[0] ?? [];
  }
}
