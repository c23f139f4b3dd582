import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Violation } from "./invariants.ts";

/** Of a log line in JSON: the process ends by an error that nobody caught. */
const FATAL = '"level":60';
/** With this Node ends what it says of such an error. */
const NODE_ENDS = /^Node\.js v\d/;
const LINES_BEFORE = 14;
const MOST_CHARS = 1_200;

/** Processes of a service that ended by an error of their own, by what their logs say. */
export function crashesIn(home: string): Violation[] {
  const dir = join(home, "logs");
  return readdirSync(dir).flatMap((name) => {
    const lines = readFileSync(join(dir, name), "utf8").split("\n");
    return lines.flatMap((line, i) => {
      const said = line.includes(FATAL)
        ? line
        : NODE_ENDS.test(line)
          ? lines.slice(Math.max(0, i - LINES_BEFORE), i).join(" ")
          : null;
      const what = `${name}: ${said?.slice(0, MOST_CHARS)}`;
      return said === null ? [] : [{ invariant: "I7", kind: "crash", episode_id: null, what }];
    });
  });
}
