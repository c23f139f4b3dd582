import type { Config } from "../platform/config.ts";
import type { Terminal } from "./terminal.ts";

/** What every command works with. Built once in main.ts from the flags and the environment. */
export interface CommandContext {
  readonly config: Config;
  readonly terminal: Terminal;
  /** Aborts on the first Ctrl-C or SIGTERM. The second one ends the process at once. */
  readonly signal: AbortSignal;
}
