import { Command } from "commander";
import { loadConfig } from "../platform/config.ts";
import { addBench } from "./commands/bench.ts";
import { addDemo } from "./commands/demo.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addEpisode } from "./commands/episode.ts";
import { addImage } from "./commands/image.ts";
import { addImport } from "./commands/import.ts";
import { addQueue } from "./commands/queue.ts";
import { addRun } from "./commands/run.ts";
import { addTest } from "./commands/test.ts";
import { addToken } from "./commands/token.ts";
import { addTop } from "./commands/top.ts";
import { addUp } from "./commands/up.ts";
import { addValidate } from "./commands/validate.ts";
import { addWhy } from "./commands/why.ts";
import { addWorker } from "./commands/worker.ts";
import type { Interruption, ProgramRun, Registry } from "./registry.ts";
import { openTerminal } from "./terminal.ts";

interface GlobalOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly color: boolean;
  readonly server?: string;
}

export function buildProgram({ signal }: Interruption): ProgramRun {
  const program = new Command("polygym")
    .description("The same programming tasks through many frameworks, judged by many verifiers.")
    .addHelpText("after", HELP_AFTER)
    .showHelpAfterError("(--help shows what there is)")
    .exitOverride()
    .enablePositionalOptions();
  let code = 0;
  const registry: Registry = {
    program,
    action:
      (work, overrides) =>
      async (...args) => {
        const command = args.at(-1);
        if (!(command instanceof Command)) throw new TypeError("commander passes the command last");
        const options = command.optsWithGlobals<GlobalOptions & Parameters<typeof work>[1]>();
        const terminal = openTerminal({
          json: options.json ?? false,
          quiet: options.quiet ?? false,
          color: options.color,
        });
        const config = loadConfig(undefined, { url: options.server, ...overrides?.(options) });
        const positional = Object.fromEntries(
          command.registeredArguments.map((argument, i) => [argument.name(), args[i]]),
        );
        code = await work({ config, terminal, signal }, { ...options, ...positional });
      },
  };
  for (const add of [
    addDemo,
    addUp,
    addWorker,
    addDoctor,
    addRun,
    addEpisode,
    addWhy,
    addTop,
    addQueue,
    addImport,
    addImage,
    addValidate,
    addBench,
    addToken,
    addTest,
  ])
    add(registry);
  for (const command of withSubcommands(program)) {
    command.exitOverride().helpCommand(false);
    if (command.commands.length === 0 && command.name() !== "test") addCommonOptions(command);
  }
  return { program, exitCode: () => code };
}

function withSubcommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)];
}

/** On each command and not on the program, so that `polygym test` can hand on what it does not know. */
function addCommonOptions(command: Command): void {
  command
    .optionsGroup("Common options:")
    .option("--server <url>", "talk to this service [the one of this home, else an embedded one]")
    .option("--json", "JSON on standard output and nothing else, one document per line")
    .option("-q, --quiet", "no progress")
    .option("--no-color", "plain text");
}

const HELP_AFTER = `
Exit codes: 0 done · 1 something failed (named) · 2 wrong use · 3 no service answers · 4 not allowed · 5 failures of the gym itself
            6 cancelled · 7 nothing matched · 69 the machine lacks something · 130 interrupted
Start here: polygym demo`;
