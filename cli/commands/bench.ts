import { join } from "node:path";
import { Argument } from "commander";
import { processEnvironment } from "../../platform/config.ts";
import type { CommandContext } from "../context.ts";
import { runNodeScript } from "../node-script.ts";
import type { Registry } from "../registry.ts";
import { tokenOf } from "../service.ts";
import { openSession } from "../session.ts";

/** What can be measured: a file of `bench/`, and what it says. */
const BENCHES: Readonly<Record<string, string>> = {
  server: "what a step costs through the server: latency, throughput, memory per episode",
};

interface BenchOptions {
  readonly name: string;
}

export function addBench({ program, action }: Registry): void {
  const names = Object.keys(BENCHES);
  program
    .command("bench")
    .summary(`measure: ${names.join(", ")}`)
    .addArgument(
      new Argument("[name]", names.map((name) => `${name}: ${BENCHES[name]}`).join("\n"))
        .choices(names)
        .default(names[0]),
    )
    .action(action(bench));
}

async function bench(context: CommandContext, { name }: BenchOptions): Promise<number> {
  const { config, terminal, signal } = context;
  await using session = await openSession(context);
  const { exitCode } = await runNodeScript({
    argv: [join(config.root, `bench/${name}.ts`), ...(terminal.json ? ["--json"] : [])],
    environment: processEnvironment({ ...config, url: session.url, token: await tokenOf(config) }),
    signal,
  });
  return exitCode;
}
