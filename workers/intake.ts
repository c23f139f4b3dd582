import type { Presence } from "../core/mail.ts";
import { steadyNow } from "../platform/clock.ts";
import type { QueueWorker } from "../platform/queues.ts";
import type { LiveEpisodes } from "./episode/live.ts";

/** Time that running steps have to be answered before the process ends. */
const LEAVE_MS = 25_000;
const LOOK_EVERY_MS = 100;

/**
 * Whether this process takes jobs. running ⇄ draining: a draining one takes none, parks what is idle and lets the rest come
 * to its end; it stays until it is told to go on or its process is stopped.
 */
export class Intake {
  readonly #processors: readonly QueueWorker[];
  readonly #live: LiveEpisodes;
  #state: Presence["state"] = "running";
  #leaving = false;

  constructor(processors: readonly QueueWorker[], live: LiveEpisodes) {
    this.#processors = processors;
    this.#live = live;
  }

  get state(): Presence["state"] {
    return this.#state;
  }

  /** Jobs under way here. */
  get jobs(): number {
    return this.#processors.reduce((sum, processor) => sum + processor.running, 0);
  }

  /** One that leaves takes nothing any more, whatever it is told. */
  async turn(state: Presence["state"]): Promise<void> {
    if (this.#leaving || state === this.#state) return;
    this.#state = state;
    await Promise.all(this.#processors.map((each) => (state === "draining" ? each.pause() : each.resume())));
  }

  /** While it drains, episodes are parked as soon as they wait for their policy. */
  async tend(): Promise<void> {
    if (this.#state === "draining") await this.#live.parkIdle(0, this.#live.size);
  }

  /** Before the process ends: running steps have {@link LEAVE_MS} to be answered, then other workers run them again. */
  async leave(): Promise<void> {
    await this.turn("draining");
    this.#leaving = true;
    const deadline = steadyNow() + LEAVE_MS;
    while (this.#live.size > 0 && steadyNow() < deadline) {
      await this.tend();
      if (this.#live.size > 0) await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
    await this.#live.leaveAll();
  }

  async close(): Promise<void> {
    await Promise.all(this.#processors.map((processor) => processor.close()));
  }
}
