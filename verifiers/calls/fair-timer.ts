import { GymError } from "../../core/errors.ts";
import type { LineProcess } from "../../core/verifier.ts";
import { SubjectFault } from "../clean-room/subject-fault.ts";

/** Calls that are answered by then ask nobody how long they waited. */
const FIRST_LOOK_MS = 250;
/** So many times the time-out the machine may withhold before it is our failure. */
const MOST_WITHHELD = 3;
/** Less was no reason for a late answer. */
const LEAST_WITHHELD_MS = 5;

export interface FairTimerOptions {
  readonly process: Pick<LineProcess, "waitedMs">;
  readonly timeoutMs: number;
  /** Called at most once: a SubjectFault `timed_out`, or a GymError when the machine had no processor for the subject. */
  readonly onPassed: (error: Error) => void;
}

/**
 * The time that a subject has for an answer. Covers: time in which the machine had no processor for its sandbox does not
 * count; an answer that this process has not read yet, as it was held up itself, is read before time is up. Does not cover:
 * tiers where nobody counts what is withheld; all time counts there.
 */
export class FairTimer implements Disposable {
  readonly #options: FairTimerOptions;
  readonly #started = performance.now();
  #timer: NodeJS.Timeout;
  #over = false;
  #before: number | null = null;
  #given = 0;

  constructor(options: FairTimerOptions) {
    this.#options = options;
    const first = Math.min(FIRST_LOOK_MS, options.timeoutMs / 4);
    this.#timer = setTimeout(() => void this.#look(), first);
  }

  [Symbol.dispose](): void {
    this.#over = true;
    clearTimeout(this.#timer);
  }

  async #look(): Promise<void> {
    this.#before = await this.#options.process.waitedMs();
    this.#watch(this.#options.timeoutMs - (performance.now() - this.#started));
  }

  #watch(ms: number): void {
    if (!this.#over) this.#timer = setTimeout(() => void this.#late(), ms);
  }

  async #late(): Promise<void> {
    const { process, timeoutMs, onPassed } = this.#options;
    const now = await process.waitedMs();
    if (this.#over) return;
    const more = now === null || this.#before === null ? 0 : now - this.#before - this.#given;
    this.#given += more;
    if (this.#given > MOST_WITHHELD * timeoutMs) {
      const seconds = Math.round(this.#given / 1000);
      onPassed(new GymError("verifier_failed", `the machine had no processor for the subject for ${seconds} s`));
    } else if (more >= LEAST_WITHHELD_MS) this.#watch(more);
    else onPassed(new SubjectFault("timed_out", `no answer within ${timeoutMs} ms`));
  }
}
