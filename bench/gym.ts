import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Presence } from "../core/mail.ts";
import { loadConfig, processEnvironment } from "../platform/config.ts";
import { type GymClient, gymClient } from "./client.ts";

const READY_MS = 60_000;
const POLL_MS = 100;

/** A whole service of its own: Redis, server and workers as `polygym up` starts them, in a fresh home. */
export interface Gym extends AsyncDisposable {
  readonly url: string;
  readonly token: string;
  readonly home: string;
  /** Of the supervisor: its other processes are its descendants. */
  readonly pid: number;
  readonly client: GymClient;
  /** What the live processes say of themselves. */
  workers(): Promise<Presence[]>;
  /** SIGTERM to the service, and wait for its end. The home stays. */
  stop(): Promise<void>;
}

export interface GymOptions {
  /** (Default: 1) */
  readonly workers?: number;
  /** (Default: 256) */
  readonly episodesPerWorker?: number;
  /** Steps between two saves of a live episode. (Default: the service's) */
  readonly saveEverySteps?: number;
  /** Go on in the home of a stopped one; it is then not removed at the end. */
  readonly home?: string;
  /** A Redis of the caller's. (Default: the service's own) */
  readonly redisUrl?: string;
  /** Of another build. (Default: this checkout) */
  readonly root?: string;
  /** Beside what the options above say. */
  readonly environment?: Readonly<Record<string, string>>;
}

export async function startGym(options: GymOptions = {}): Promise<Gym> {
  const {
    workers: count = 1,
    episodesPerWorker = 256,
    saveEverySteps,
    home,
    redisUrl = null,
    root,
    environment,
  } = options;
  const folder = home ?? (await mkdtemp(join(tmpdir(), "gym-")));
  const config = loadConfig(undefined, {
    ...{ home: folder, redisUrl, url: null, token: null },
    ...{ episodesPerWorker, saveEverySteps },
  });
  const argv = [join(root ?? config.root, "cli/main.ts"), "up", "--port", "0", "--workers", String(count), "--json"];
  // setpriv: it ends with this process, however that ends.
  const child = spawn("setpriv", ["--pdeathsig", "TERM", process.execPath, ...argv], {
    env: { ...processEnvironment(config), ...environment },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  const stop = async () => {
    child.kill("SIGTERM");
    await exited;
  };
  try {
    const url = await firstUrl(child);
    const token = (await readFile(join(folder, "token"), "utf8")).trim();
    const client = gymClient(url, token);
    const workers = async () => ((await client.request("GET", "/v1/workers")) as { items: Presence[] }).items; // the server's own schema
    await eventually(async () => (await workers()).length >= count, READY_MS, "the workers");
    const dispose = async () => {
      await stop();
      if (home === undefined) await rm(folder, { recursive: true, force: true });
    };
    return { url, token, home: folder, pid: child.pid ?? 0, client, workers, stop, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function firstUrl(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error("the service has no output");
  for await (const line of createInterface({ input: child.stdout })) {
    const said = JSON.parse(line) as { url?: string }; // printed by `up --json`
    if (said.url !== undefined) return said.url;
  }
  throw new Error("the service ended before it listened");
}

/** Waits until `look` is true; a deadline that passes is an error that names what was waited for. */
export async function eventually(look: () => Promise<boolean>, deadlineMs: number, what: string): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (!(await look())) {
    if (performance.now() > deadline) throw new Error(`${what} did not come within ${deadlineMs} ms`);
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
}
