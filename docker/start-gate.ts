import { GymError } from "../core/errors.ts";

/** Starts that may wait. More are refused at once: their callers' time-outs would pass in the queue. */
const MOST_WAITING = 2_000;

/** Lets a bounded number of starts run at once; the others wait in order. */
export class StartGate {
  readonly #most: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(most: number) {
    this.#most = most;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Runs `start` when there is room. `queuedMs` is how long it waited, apart from how long it ran. */
  async run<T>(start: (queuedMs: number) => Promise<T>): Promise<T> {
    const asked = performance.now();
    if (this.#running < this.#most) this.#running += 1;
    else await this.#turn();
    try {
      return await start(performance.now() - asked);
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running -= 1;
    }
  }

  async #turn(): Promise<void> {
    if (this.#waiting.length >= MOST_WAITING)
      throw new GymError("sandbox_unavailable", `${MOST_WAITING} sandboxes already wait for their start`, {
        retryable: true,
      });
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}
