import { CommanderError } from "commander";
import { CommandError, EXIT } from "./exit-codes.ts";
import type { Interruption, ProgramRun } from "./registry.ts";

/** Runs one command line to its end and answers the exit code. Never throws for what a user did. */
export async function runProgram(
  build: (interruption: Interruption) => ProgramRun,
  argv: readonly string[],
): Promise<number> {
  const interruption = listenForInterruption();
  const { program, exitCode } = build(interruption);
  try {
    await program.parseAsync([...argv], { from: "user" });
    return exitCode();
  } catch (error) {
    if (interruption.signal.aborted) return interruption.exitCode();
    return report(error);
  }
}

function report(error: unknown): number {
  // commander has printed its own message, or the help that was asked for.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
  if (error instanceof CommandError) {
    process.stderr.write(`polygym: ${error.message}\n  ${error.hint}\n`);
    return error.exitCode;
  }
  if (error instanceof Error && error.name === "ConfigError") {
    process.stderr.write(`polygym: ${error.message}\n`);
    return EXIT.usage;
  }
  process.stderr.write(`polygym: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return EXIT.failed;
}

/** The first signal asks to end in order, the second one ends at once. */
function listenForInterruption(): Interruption {
  const controller = new AbortController();
  let code: number = EXIT.done;
  const on = (name: "SIGINT" | "SIGTERM" | "SIGHUP", exitCode: number) => {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(exitCode);
      code = exitCode;
      controller.abort(new CommandError(EXIT.interrupted, "interrupted", "a second Ctrl-C ends at once"));
    });
  };
  on("SIGINT", EXIT.interrupted);
  on("SIGTERM", 143);
  on("SIGHUP", 129);
  return { signal: controller.signal, exitCode: () => code };
}
