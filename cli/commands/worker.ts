import { join } from "node:path";
import { newProcessId } from "../../core/ids.ts";
import { processEnvironment } from "../../platform/config.ts";
import type { CommandContext } from "../context.ts";
import { CommandError, EXIT } from "../exit-codes.ts";
import { runNodeScript } from "../node-script.ts";
import type { Registry } from "../registry.ts";
import { type SandboxOption, sandboxOption, sandboxOverrides } from "../sandbox-option.ts";
import { addDrain } from "./drain.ts";

interface WorkerOptions extends SandboxOption {
  readonly redis?: string;
  readonly store?: string;
}

export function addWorker(registry: Registry): void {
  const { program, action } = registry;
  const command = program
    .command("worker")
    .summary("one more worker process for a service that runs elsewhere")
    .description(
      "Runs one worker process in the foreground. It joins the service through its Redis and its store: on another host the PostgreSQL that the service was started with, on the same host the service's home folder.",
    )
    .option("--redis <url>", "the service's Redis [POLYGYM_REDIS_URL]")
    .option("--store <url>", "the service's postgres:// [POLYGYM_STORE, which hides a password from ps; else its home]")
    .addOption(sandboxOption())
    .action(
      action(worker, ({ redis, store, sandbox }: WorkerOptions) => ({
        ...sandboxOverrides({ sandbox }),
        redisUrl: redis,
        storeUrl: store,
      })),
    );
  addDrain(command, registry);
}

async function worker({ config, signal }: CommandContext): Promise<number> {
  if (config.redisUrl === null)
    throw new CommandError(
      EXIT.usage,
      "a worker needs the service's Redis",
      "give --redis URL or set POLYGYM_REDIS_URL; `polygym up` starts its own workers",
    );
  const environment = processEnvironment({ ...config, processId: newProcessId("worker") });
  const { exitCode } = await runNodeScript({ argv: [join(config.root, "workers/main.ts")], environment, signal });
  return exitCode;
}
