import type { EpisodeLimits, StopReason } from "../../core/episode.ts";
import type { Meter } from "./meter.ts";

type LimitReason = Extract<StopReason, "wall_limit" | "output_limit">;

/** Why a step was cut short: a limit of the episode, or its cancellation. */
export class StepCut extends Error {
  override readonly name = "StepCut";
  readonly reason: LimitReason | "cancelled";

  constructor(reason: LimitReason | "cancelled") {
    super(`the step was cut by ${reason}`);
    this.reason = reason;
  }
}

/** The limit that a finished step used up; null when the episode may go on. */
export function limitReached(
  limits: EpisodeLimits,
  used: { readonly steps: number; readonly wall_used_ms: number; readonly outputBytes: number },
): StopReason | null {
  if (used.steps >= limits.steps) return "step_limit";
  if (used.wall_used_ms >= limits.wall_s * 1000) return "wall_limit";
  return used.outputBytes > limits.output_bytes ? "output_limit" : null;
}

/** Aborts `controller` when a running step uses up the episode's wall time or output. Dispose it when the step is over. */
export function watchLimits(
  limits: EpisodeLimits,
  wallUsedMs: number,
  meter: Meter,
  controller: AbortController,
): Disposable {
  const cut = (reason: LimitReason) => controller.abort(new StepCut(reason));
  const timer = setTimeout(cut, Math.max(0, limits.wall_s * 1000 - wallUsedMs), "wall_limit");
  meter.onBytes = (total) => {
    if (total > limits.output_bytes) cut("output_limit");
  };
  return {
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      meter.onBytes = () => undefined;
    },
  };
}

/** Rejects with the signal's reason as soon as it aborts, even if `work` does not listen to it. */
export function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) return Promise.reject(signal.reason);
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  return promise;
}
