import { GymError } from "../../core/errors.ts";
import type { FileResult } from "../../core/sandbox.ts";
import type { Check, Flag } from "../../core/verifier.ts";

/**
 * What the submission itself made impossible: its process crashed, ran out of memory or time, or broke the protocol. Thrown
 * anywhere below a verifier's run, it ends the run with a score of 0. Our own failures are GymErrors instead.
 */
export class SubjectFault extends Error {
  override readonly name = "SubjectFault";
  /** Null when it is an ordinary failure and no sign of a cheat. */
  readonly flag: string | null;
  checks: Check[] = [];

  constructor(flag: string | null, detail: string) {
    super(detail);
    this.flag = flag;
  }

  get flags(): Flag[] {
    return this.flag === null ? [] : [{ name: this.flag, detail: this.message }];
  }
}

/** The submission's own state (no room, a file where a folder belongs) is its fault; what else went wrong is ours. */
export function accept(result: FileResult<void>, path: string, fine: readonly string[] = []): void {
  if (result.ok || fine.includes(result.error)) return;
  const detail = `${path}: ${result.message}`;
  if (result.error === "other" || result.error === "busy") throw new GymError("verifier_failed", detail);
  throw new SubjectFault("does_not_apply", detail);
}
