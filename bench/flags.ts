import { parseArgs } from "node:util";

/** The command line's exit code for wrong use. */
const USAGE = 2;

interface Flag {
  readonly type: "string" | "boolean";
  readonly default?: string | boolean;
  /** For `--help`. */
  readonly says: string;
}

const JSON_FLAG = { json: { type: "boolean", default: false, says: "one JSON document on standard output" } } as const;

/** The flags of `polygym bench NAME`. `--help` and what is no flag end the process, as for every other command. */
export function benchFlags<const T extends Readonly<Record<string, Flag>>>(name: string, says: string, own: T) {
  const options = { ...JSON_FLAG, ...own };
  const flags: Readonly<Record<string, Flag>> = options;
  if (process.argv.includes("--help") || process.argv.includes("-h")) {
    const lines = Object.entries(flags).map(([flag, { type, default: fallback, says: text }]) => {
      const [value, known] = type === "string" ? [" <value>", fallback ? ` [${fallback}]` : ""] : ["", ""];
      return `  ${`--${flag}${value}`.padEnd(22)}${text}${known}\n`;
    });
    process.stdout.write(`Usage: polygym bench ${name} [options]\n\n${says}\n\nOptions:\n${lines.join("")}`);
    process.exit(0);
  }
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return refuse(name, error.message);
  }
}

/** A whole number above 0. */
export function countOf(name: string, flag: string, text: string): number {
  const value = Number(text);
  return Number.isSafeInteger(value) && value > 0
    ? value
    : refuse(name, `--${flag} takes a whole number above 0, not ${text}`);
}

export function refuse(name: string, message: string): never {
  process.stderr.write(`error: ${message}\npolygym bench ${name} --help lists the flags\n`);
  process.exit(USAGE);
}
