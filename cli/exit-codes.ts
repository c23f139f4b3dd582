/** What the shell gets. Stable: scripts and builds depend on them. */
export const EXIT = {
  done: 0,
  /** Some episode, check or test did not come out as it should; the output names it. */
  failed: 1,
  usage: 2,
  unreachable: 3,
  notAllowed: 4,
  /** Failures of ours are left: their rewards are null. */
  infra: 5,
  cancelled: 6,
  /** A selection that matches nothing must not look like success. */
  nothingMatched: 7,
  /** The machine lacks something; the message says what to do. */
  lacking: 69,
  interrupted: 130,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Ends a command with one line of what happened and one of what to do. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly exitCode: ExitCode;
  readonly hint: string;
  /** Code of the problem that the service answered; null when it is not one. */
  readonly problem: string | null;

  constructor(
    exitCode: ExitCode,
    message: string,
    hint: string,
    { problem = null, ...options }: { cause?: unknown; problem?: string | null } = {},
  ) {
    super(message, options);
    this.problem = problem;
    this.exitCode = exitCode;
    this.hint = hint;
  }
}
