import { ProblemError } from "../../core/errors.ts";

/** Episodes end in minutes, not in seconds. */
const RETRY_AFTER_S = 30;

/** What `overQuota` gives when nobody says how many. */
export const MOST_OVER_QUOTA = 1_000;

/** One more episode of an owner that has `open` ones. */
export function checkQuota(open: number, maxOpen: number): void {
  if (open < maxOpen) return;
  throw new ProblemError(
    "quota",
    `this token has ${open} episodes that have not ended, of at most ${maxOpen}`,
    "finish or cancel some; the bound is the setting episodes_per_token",
    { retryAfterS: RETRY_AFTER_S },
  );
}

/** One more live episode of an owner that has `live` others. */
export function checkShare(live: number, maxLive: number): void {
  if (live < maxLive) return;
  throw new ProblemError(
    "quota",
    `this token has ${live} live episodes, of at most ${maxLive}`,
    "it waits until another of them is parked or ends; the bound is the setting live_per_token",
  );
}
