import { ProblemError } from "../../core/errors.ts";

/** Episodes end in minutes, not in seconds. */
const RETRY_AFTER_S = 30;

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
