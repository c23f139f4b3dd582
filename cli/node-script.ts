import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";

export interface NodeScript {
  /** Absolute path of the entry file, then its arguments. */
  readonly argv: readonly string[];
  readonly environment?: Record<string, string>;
  readonly signal: AbortSignal;
  /** Standard output: shown as it comes, or collected and returned. (Default: shown) */
  readonly output?: "shown" | "collected";
}

export interface NodeScriptResult {
  /** 128 and the signal's number when a signal ended it, as shells say it. */
  readonly exitCode: number;
  readonly output: string;
}

/** Runs one of our own entry files in a Node of its own. When we are interrupted it is asked to end, and waited for. */
export async function runNodeScript({
  argv,
  environment,
  signal,
  output = "shown",
}: NodeScript): Promise<NodeScriptResult> {
  const child = spawn(process.execPath, [...argv], {
    stdio: ["inherit", output === "shown" ? "inherit" : "pipe", "inherit"],
    ...(environment === undefined ? {} : { env: environment }),
  });
  const stop = () => child.kill("SIGTERM");
  signal.addEventListener("abort", stop, { once: true });
  const collected = child.stdout === null ? Promise.resolve("") : readAll(child.stdout);
  const [code, killedBy]: [number | null, NodeJS.Signals | null] = await exitOf(child);
  signal.removeEventListener("abort", stop);
  return {
    exitCode: code ?? (killedBy === "SIGINT" ? 130 : killedBy === "SIGTERM" ? 143 : 137),
    output: await collected,
  };
}

async function exitOf(child: ReturnType<typeof spawn>): Promise<[number | null, NodeJS.Signals | null]> {
  const [code, killedBy] = await once(child, "exit");
  return [typeof code === "number" ? code : null, typeof killedBy === "string" ? (killedBy as NodeJS.Signals) : null]; // Node's own names
}

async function readAll(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString();
}
