/** Lets a bounded number of starts run at once; the others wait in order. */
export class StartGate {
  readonly #most: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(most: number) {
    this.#most = most;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Runs `start` when there is room. `queuedMs` is how long it waited, apart from how long it ran. */
  async run<T>(start: (queuedMs: number) => Promise<T>): Promise<T> {
    const asked = performance.now();
    if (this.#running >= this.#most) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running += 1;
    try {
      return await start(performance.now() - asked);
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running -= 1;
    }
  }
}
