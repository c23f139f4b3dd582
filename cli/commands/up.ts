import { once } from "node:events";
import { Client } from "../client.ts";
import type { CommandContext } from "../context.ts";
import { CommandError, EXIT } from "../exit-codes.ts";
import { loginLink } from "../login-link.ts";
import { type Registry, wholeNumber } from "../registry.ts";
import { warnOfMissingLimits } from "../sandbox-check.ts";
import { type SandboxOption, sandboxOption, sandboxOverrides } from "../sandbox-option.ts";
import { type RunningService, startService, tokenOf } from "../service.ts";
import { readServiceFile } from "../service-file.ts";

interface UpOptions extends SandboxOption {
  readonly port?: number;
  readonly host?: string;
  readonly workers?: number;
  readonly redis?: string;
  readonly store?: string;
}

export function addUp({ program, action }: Registry): void {
  program
    .command("up")
    .summary("serve: Redis, one server process, one worker process per core")
    .description(
      "Serves until Ctrl-C: a private Redis unless one is given, one server process, one worker process per core; a process that dies is started again.",
    )
    .option("--port <number>", "[7400]", wholeNumber(0, 65_535))
    .option("--host <address>", "[127.0.0.1]")
    .option("--workers <n>", "worker processes [one per core]", wholeNumber(1, 256))
    .addOption(sandboxOption())
    .option("--redis <url>", "redis://, rediss:// or unix:///path [a private server]")
    .option("--store <url>", "postgres://user:password@host/database, for many hosts [files in the home folder]")
    .action(
      action(up, ({ port, host, workers, redis, store, sandbox }: UpOptions) => ({
        ...sandboxOverrides({ sandbox }),
        port,
        host,
        workers,
        redisUrl: redis,
        storeUrl: store,
      })),
    );
}

async function up(context: CommandContext, _options: UpOptions): Promise<number> {
  const { config, terminal } = context;
  const running = readServiceFile(config.home);
  if (running !== null)
    throw new CommandError(
      EXIT.failed,
      `already up: process ${running.pid} serves ${config.home} at ${running.url}`,
      "stop it first, or set POLYGYM_HOME to another folder",
    );
  await using service = await startService({ config, anyPort: false, onEvent: terminal.warn, signal: context.signal });
  const client = new Client({ url: service.url, token: await tokenOf(config) });
  if (terminal.json) terminal.print(JSON.stringify({ url: service.url, pid: process.pid }));
  else {
    terminal.print(`serving    ${service.url}`);
    terminal.print(`log in     ${await loginLink(client, "/docs")}   (works once, in a browser)`);
    terminal.print(`token      polygym token   ·   logs ${service.logDir}`);
  }
  await warnOfMissingLimits(context);
  await stayUp(context, service);
  return EXIT.done;
}

/** Waits for Ctrl-C. */
export async function stayUp({ terminal, signal }: CommandContext, service: RunningService): Promise<void> {
  terminal.note(`up at ${service.url}; Ctrl-C stops it`);
  // A timer keeps the process alive: the children are watched, but nothing else may be under way.
  const alive = setInterval(() => undefined, 60_000);
  if (!signal.aborted) await once(signal, "abort");
  clearInterval(alive);
  terminal.note("stopping");
}
