import type { EpisodeRecord, PendingReason } from "../core/episode.ts";
import type { Presence } from "../core/mail.ts";

/** Workers say who they are every second; asking more often shows nothing new. */
const FRESH_MS = 1_000;

/** Who works and how much room they have, as of the last second. */
export class Occupancy {
  readonly #read: () => Promise<Presence[]>;
  #known: { at: number; workers: Promise<Presence[]> } | null = null;

  constructor(read: () => Promise<Presence[]>) {
    this.#read = read;
  }

  async workers(now = Date.now()): Promise<readonly Presence[]> {
    if (this.#known === null || now - this.#known.at > FRESH_MS) {
      const known = { at: now, workers: this.#read() };
      this.#known = known;
      known.workers.catch(() => {
        if (this.#known === known) this.#known = null;
      });
    }
    return this.#known.workers;
  }

  /** Why a queued episode has not started, as far as the workers show it. */
  async pendingReason(record: EpisodeRecord): Promise<PendingReason | null> {
    if (record.state !== "queued" || record.pending_reason !== null) return record.pending_reason;
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
