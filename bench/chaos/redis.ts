import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const ANSWER_MS = 15_000;
const POLL_MS = 25;

/** A Redis that the driver owns: configured as operators are told to, with a port of its own and DEBUG allowed. */
export interface ChaosRedis extends AsyncDisposable {
  readonly port: number;
  readonly pid: number;
  /** One command, by redis-cli; answers its output. */
  command(...words: readonly string[]): Promise<string>;
  start(): Promise<void>;
  /** SIGTERM, or SIGKILL with `kill`. Resolves when it has ended. */
  end(how: "SIGTERM" | "SIGKILL"): Promise<void>;
  /** Only while it is ended: forgets everything that was written. */
  erase(): Promise<void>;
}

export async function startChaosRedis(home: string, port: number): Promise<ChaosRedis> {
  const dir = join(home, "chaos-redis");
  let child: ChildProcess | null = null;
  const command = async (...words: readonly string[]): Promise<string> =>
    (await run("redis-cli", ["-p", String(port), ...words])).stdout.trim();
  const start = async (): Promise<void> => {
    await mkdir(dir, { recursive: true });
    const options = ["--port", String(port), "--bind", "127.0.0.1", "--dir", dir, "--appendonly", "yes"];
    const durable = ["--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction"];
    const debug = ["--enable-debug-command", "yes"];
    // setpriv: it ends with the driver, however that ends.
    child = spawn("setpriv", ["--pdeathsig", "KILL", "redis-server", ...options, ...durable, ...debug], {
      stdio: "ignore",
      detached: true,
    });
    await answering(command);
  };
  const end = async (how: "SIGTERM" | "SIGKILL"): Promise<void> => {
    if (child === null) return;
    const ended = once(child, "exit");
    child.kill(how);
    await ended;
    child = null;
  };
  await start();
  return {
    port,
    get pid() {
      return child?.pid ?? 0;
    },
    command,
    start,
    end,
    erase: () => rm(dir, { recursive: true, force: true }),
    [Symbol.asyncDispose]: () => end("SIGKILL"),
  };
}

async function answering(command: ChaosRedis["command"]): Promise<void> {
  const deadline = performance.now() + ANSWER_MS;
  for (;;) {
    const said = await command("PING").catch((error: unknown) => String(error));
    if (said === "PONG") return;
    if (performance.now() > deadline) throw new Error(`redis-server did not answer within ${ANSWER_MS} ms: ${said}`);
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
}
