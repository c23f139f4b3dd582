import { monitorEventLoopDelay } from "node:perf_hooks";
import closeWithGrace from "close-with-grace";
import type { Logger } from "./log.ts";

/** Longest clean end; then the process ends all the same. */
const CLOSE_TIMEOUT_MS = 30_000;
const LOOP_RESOLUTION_MS = 10;

/** Runs `close` once, on a signal or on an error that nobody caught, then ends the process. */
export function onShutdown(log: Logger, close: () => Promise<void>): void {
  closeWithGrace(
    {
      delay: CLOSE_TIMEOUT_MS,
      logger: { error: (message: unknown, ...rest: unknown[]) => log.error({ rest }, String(message)) },
    },
    async ({ err, signal }) => {
      if (err !== undefined) log.fatal({ err }, "stopping after an error that nobody caught");
      else log.info({ signal }, "stopping");
      await close();
    },
  );
}

/** How long the event loop was held up. */
export interface LoopWatch extends Disposable {
  /** 99th percentile of the delay since the last call, in ms. */
  p99(): number;
}

export function watchLoop(): LoopWatch {
  const histogram = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS });
  histogram.enable();
  return {
    p99: () => {
      // Without samples the histogram says NaN or a negative idle time.
      const value = histogram.count === 0 ? 0 : histogram.percentile(99) / 1e6 - LOOP_RESOLUTION_MS;
      histogram.reset();
      return Math.max(0, Math.round(value * 100) / 100);
    },
    [Symbol.dispose]: () => {
      histogram.disable();
    },
  };
}
