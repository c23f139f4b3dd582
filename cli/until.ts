import { setTimeout as wait } from "node:timers/promises";

/** Between two looks at another process that has no event to wait for. */
const LOOK_EVERY_MS = 20;

export interface UntilOptions {
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
  /** What to throw when the deadline has passed. */
  readonly otherwise: () => Error;
}

/** Looks until `holds` answers true. */
export async function until(
  holds: () => Promise<boolean>,
  { deadlineMs, signal, otherwise }: UntilOptions,
): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!(await holds())) {
    signal?.throwIfAborted();
    if (performance.now() > end) throw otherwise();
    await wait(LOOK_EVERY_MS, undefined, { signal });
  }
}
