import { mostWithheldMs } from "../../core/sandbox.ts";
import type { LineProcess } from "../../core/verifier.ts";

/** Answers that come by then cost no question. */
const FIRST_LOOK_MS = 250;
/** Less was no reason for a late answer. */
const LEAST_WITHHELD_MS = 5;

export interface FairTimerOptions {
  readonly process: Pick<LineProcess, "waitedMs">;
  readonly timeoutMs: number;
  /** Called at most once. */
  readonly onPassed: () => void;
}

/**
 * The time that a program has for an answer. Covers: time in which the machine had no processor for its sandbox, or this
 * process was held up, is given back, up to {@link mostWithheldMs}; an answer that lies unread is read before time is up.
 * Does not cover: what is withheld before the first look, and tiers where nobody counts it.
 */
export class FairTimer implements Disposable {
  readonly #process: FairTimerOptions["process"];
  readonly #onPassed: () => void;
  /** What may still be given back. */
  #left: number;
  #timer: NodeJS.Timeout;
  #over = false;
  #waitedMs: number | null = null;

  constructor({ process, timeoutMs, onPassed }: FairTimerOptions) {
    this.#process = process;
    this.#onPassed = onPassed;
    this.#left = mostWithheldMs(timeoutMs);
    const first = Math.min(FIRST_LOOK_MS, timeoutMs / 4);
    this.#timer = this.#after(first, () => this.#look(timeoutMs - first));
  }

  [Symbol.dispose](): void {
    this.#over = true;
    clearTimeout(this.#timer);
  }

  #after(ms: number, then: (heldUpMs: number) => Promise<void>): NodeJS.Timeout {
    const due = performance.now() + ms;
    return setTimeout(() => void then(performance.now() - due), ms); // waitedMs never rejects
  }

  async #look(restMs: number): Promise<void> {
    this.#waitedMs = await this.#process.waitedMs();
    this.#watch(restMs);
  }

  #watch(ms: number): void {
    if (!this.#over) this.#timer = this.#after(ms, (heldUpMs) => this.#late(heldUpMs));
  }

  async #late(heldUpMs: number): Promise<void> {
    const before = this.#waitedMs;
    this.#waitedMs = await this.#process.waitedMs();
    if (this.#over) return;
    const withheldMs = before === null || this.#waitedMs === null ? 0 : this.#waitedMs - before;
    const more = Math.min(Math.max(withheldMs, heldUpMs), this.#left);
    if (more < LEAST_WITHHELD_MS) return this.#onPassed();
    this.#left -= more;
    this.#watch(more);
  }
}
