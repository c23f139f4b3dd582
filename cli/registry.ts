import { type Command, InvalidArgumentError } from "commander";
import type { ConfigOverrides } from "../platform/config.ts";
import type { CommandContext } from "./context.ts";

/** Everything a started command may need to end early. */
export interface Interruption {
  readonly signal: AbortSignal;
  /** Code for the shell when the signal has aborted. */
  exitCode(): number;
}

/** A command's work: answers the exit code. */
export type Work<Options> = (context: CommandContext, options: Options) => Promise<number>;

/** What a command file gets to register itself. */
export interface Registry {
  readonly program: Command;
  /** Wraps the work of a command: builds its context from the flags, keeps its exit code. */
  action<Options>(
    work: Work<Options>,
    overrides?: (options: Options) => ConfigOverrides,
  ): (...args: unknown[]) => Promise<void>;
}

export interface ProgramRun {
  readonly program: Command;
  exitCode(): number;
}

/** Parses a whole number within bounds, for options. */
export function wholeNumber(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < low || value > high)
      throw new InvalidArgumentError(`must be ${low} to ${high}`);
    return value;
  };
}
