import { stripVTControlCharacters } from "node:util";
import colors from "picocolors";

/** Where a command speaks. Standard output is the result and nothing else; all the rest is on standard error. */
export interface Terminal {
  /** True for --json: the result is one JSON document on one line. */
  readonly json: boolean;
  readonly color: ReturnType<typeof colors.createColors>;
  /** A line of the result. */
  print(line: string): void;
  /** A line about the work, for people; silent with --json or --quiet. */
  note(line: string): void;
  /** Replaces the progress line on a terminal; elsewhere a line now and then. An empty text removes it. */
  progress(line: string): void;
  /** A line about something wrong; never silent. */
  warn(line: string): void;
}

export interface TerminalOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly color: boolean;
}

/** Progress in a log file: enough to see that it goes on. */
const LOG_EVERY_MS = 15_000;

export function openTerminal({ json, quiet, color }: TerminalOptions): Terminal {
  const live = process.stderr.isTTY && !quiet;
  let shown = false;
  const clear = () => {
    if (shown) process.stderr.write("\r\x1b[K");
    shown = false;
  };
  let loggedAt = performance.now();
  const logNowAndThen = (line: string) => {
    if (quiet || line === "" || performance.now() - loggedAt < LOG_EVERY_MS) return;
    loggedAt = performance.now();
    process.stderr.write(`${line}\n`);
  };
  return {
    json,
    color: colors.createColors(color && process.stdout.isTTY),
    print(line) {
      clear();
      process.stdout.write(`${line}\n`);
    },
    note(line) {
      clear();
      if (!json && !quiet) process.stderr.write(`${line}\n`);
    },
    progress(line) {
      if (!live) return logNowAndThen(line);
      clear();
      if (line === "") return;
      process.stderr.write(line.slice(0, (process.stderr.columns ?? 80) - 1));
      shown = true;
    },
    warn(line) {
      clear();
      process.stderr.write(`${line}\n`);
    },
  };
}

/** Columns padded to their widest cell, two blanks between. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, width(cell));
  return rows.map((row) =>
    row
      .map((cell, i) => cell + " ".repeat((widths[i] ?? 0) - width(cell)))
      .join("  ")
      .trimEnd(),
  );
}

const width = (text: string): number => stripVTControlCharacters(text).length;
