import { join } from "node:path";
import { Argument } from "commander";
import { processEnvironment } from "../../platform/config.ts";
import type { CommandContext } from "../context.ts";
import { runNodeScript } from "../node-script.ts";
import type { Registry } from "../registry.ts";
import { tokenOf } from "../service.ts";
import { openSession } from "../session.ts";

/** What can be measured: a file of `bench/`, what it says, and whether it measures a service that runs already. */
const BENCHES: Readonly<Record<string, { readonly says: string; readonly service: boolean }>> = {
  server: { says: "what a step costs through the server: latency, throughput, memory per episode", service: true },
  verify: {
    says: "verdicts per second, every subject in a fresh sandbox; starts a service of its own",
    service: false,
  },
  episodes: {
    says: "many episodes alive, parked, revived, forked, and one very long; starts services of its own",
    service: false,
  },
  chaos: {
    says: "what is lost, done twice or left over when anything dies; starts services of its own",
    service: false,
  },
  sandbox: { says: "sandboxes beside their peers: create, exec, files, fork, kill", service: false },
};

interface BenchOptions {
  readonly name: string;
  readonly arguments: readonly string[];
}

export function addBench({ program, action }: Registry): void {
  const names = Object.keys(BENCHES);
  program
    .command("bench")
    .summary(`measure: ${names.join(", ")}`)
    .addArgument(
      new Argument("[name]", names.map((name) => `${name}: ${BENCHES[name]?.says}`).join("\n"))
        .choices(names)
        .default(names[0]),
    )
    .argument("[arguments...]", "for the measurement, e.g. --quick")
    .allowUnknownOption()
    .passThroughOptions()
    .action(action(bench));
}

async function bench(context: CommandContext, { name, arguments: more }: BenchOptions): Promise<number> {
  const { config, terminal, signal } = context;
  const json = terminal.json && !more.includes("--json") ? ["--json"] : [];
  const argv = [join(config.root, `bench/${name}.ts`), ...json, ...more];
  const explains = more.includes("--help") || more.includes("-h");
  if (BENCHES[name]?.service !== true || explains) {
    const { exitCode } = await runNodeScript({ argv, environment: processEnvironment(config), signal });
    return exitCode;
  }
  await using session = await openSession(context);
  const service = { ...config, url: session.url, token: await tokenOf(config) };
  const { exitCode } = await runNodeScript({ argv, environment: processEnvironment(service), signal });
  return exitCode;
}
