import { type Logger, pino } from "pino";

export type { Logger } from "pino";

/** Keys whose values never reach a log line. */
const SECRET_KEYS = ["token", "secret", "authorization", "cookie", "password", "hash"];

export interface LogOptions {
  readonly level: string;
  /** What kind of process, e.g. "server". */
  readonly name: string;
  readonly processId: string;
}

/** A logger that writes JSON lines to standard error; standard output belongs to commands. */
export function openLog({ level, name, processId }: LogOptions): Logger {
  return pino(
    {
      level,
      base: { name, process: processId },
      redact: {
        paths: [...SECRET_KEYS, ...SECRET_KEYS.map((key) => `*.${key}`), ...SECRET_KEYS.map((key) => `*.*.${key}`)],
        censor: "[secret]",
      },
    },
    pino.destination({ dest: 2, sync: true }),
  );
}
