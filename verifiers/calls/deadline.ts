/** A point in time that several waits share. */
export interface Deadline {
  /** At least 1, so that it is always a valid time-out. */
  remainingMs(): number;
  readonly passed: boolean;
}

export function deadlineIn(ms: number, now: () => number = () => performance.now()): Deadline {
  const end = now() + ms;
  return {
    remainingMs: () => Math.max(1, Math.ceil(end - now())),
    get passed() {
      return now() >= end;
    },
  };
}
