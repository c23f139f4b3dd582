/** How a breaker stands: calls pass, are refused at once, or one call tries whether it works again. */
export type BreakerState =
  | { readonly status: "closed"; readonly failures: number }
  | { readonly status: "open"; readonly until: number }
  | { readonly status: "trying" };

export interface BreakerOptions {
  /** Failures in a row that open it. (Default: 3) */
  readonly failures?: number;
  /** How long it refuses before one call may try. (Default: 5000) */
  readonly coolMs?: number;
  readonly now?: () => number;
}

/** Keeps callers from waiting for something that has just been found dead. */
export class CircuitBreaker {
  readonly #failures: number;
  readonly #coolMs: number;
  readonly #now: () => number;
  #state: BreakerState = { status: "closed", failures: 0 };

  constructor(options: BreakerOptions = {}) {
    this.#failures = options.failures ?? 3;
    this.#coolMs = options.coolMs ?? 5_000;
    this.#now = options.now ?? Date.now;
  }

  get state(): BreakerState {
    return this.#state;
  }

  /** True: go on and report with {@link succeed} or {@link fail}. False: refused, do not call. */
  enter(): boolean {
    if (this.#state.status === "closed") return true;
    if (this.#state.status === "trying" || this.#now() < this.#state.until) return false;
    this.#state = { status: "trying" };
    return true;
  }

  succeed(): void {
    this.#state = { status: "closed", failures: 0 };
  }

  fail(): void {
    const failures = this.#state.status === "closed" ? this.#state.failures + 1 : this.#failures;
    if (failures < this.#failures) this.#state = { status: "closed", failures };
    else this.#state = { status: "open", until: this.#now() + this.#coolMs };
  }
}
