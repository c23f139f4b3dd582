import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

/** Asked once: it reads the control groups of this process. */
const CORES = availableParallelism();

/** True while more threads want to run than there are cores. Of the whole machine, also from inside a container. */
export function saturated(): boolean {
  // "0.52 0.58 0.59 3/467 12345": of 467 threads 3 run or wait for a core. A read costs 10 µs.
  const running = /(\d+)\/\d+ \d+\s*$/.exec(readFileSync("/proc/loadavg", "utf8"))?.[1];
  return Number(running ?? 0) > CORES;
}
