import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { lstatSync, mkdirSync } from "node:fs";
import { access, constants, rename, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { GymError } from "../core/errors.ts";
import type { Config } from "./config.ts";
import type { Logger } from "./log.ts";
import { connectRedis, type Redis } from "./redis.ts";

/** flock(1) ends with this when another Redis holds the folder. */
const HELD_BY_OTHER = 75;
const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 5_000;
const PROBE_EVERY_MS = 10;
const MAX_RESTART_DELAY_MS = 2_000;
/** Last output of a server that did not start. */
const OUTPUT_KEPT = 4_000;

export interface RedisHandle {
  readonly url: string;
  /** Ends our Redis; somebody else's is left alone. Idempotent. */
  close(): Promise<void>;
}

type RedisConfig = Pick<Config, "home" | "runDir" | "redisUrl" | "searchPath">;

/**
 * The Redis of this installation: the configured one, or a private server on a unix socket (append-only file, fsync every
 * second, nothing evicted). The private one dies with this process, however this ends: the kernel signals it (setpriv).
 * A lock that lives as long as the server itself (flock) keeps a second one from the same files; who finds it taken uses
 * the running server, and starts one when that is gone. A server that dies is started again.
 */
export async function startRedis(config: RedisConfig, log?: Logger): Promise<RedisHandle> {
  if (config.redisUrl !== null) return { url: config.redisUrl, close: async () => undefined };
  const keeper = new RedisKeeper(config, log);
  await keeper.start();
  return { url: keeper.url, close: () => keeper.close() };
}

class RedisKeeper {
  readonly url: string;
  readonly #dir: string;
  readonly #runDir: string;
  readonly #socket: string;
  readonly #searchPath: readonly string[];
  readonly #log: Logger | undefined;
  #child: ChildProcess | null = null;
  #watch: Redis | null = null;
  #closing = false;
  #keeping: Promise<void> = Promise.resolve();

  constructor(config: RedisConfig, log: Logger | undefined) {
    this.#dir = join(config.home, "redis");
    this.#runDir = config.runDir;
    this.#socket = join(config.runDir, "redis.sock");
    this.url = `unix://${this.#socket}`;
    this.#searchPath = config.searchPath;
    this.#log = log;
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
  }

  /** Resolves when a Redis answers on the socket, ours or another's. */
  async start(): Promise<void> {
    const deadline = Date.now() + START_TIMEOUT_MS;
    let output = "";
    while (Date.now() < deadline) {
      const attempt = await this.#spawn();
      const watch = await this.#answer(attempt, deadline);
      if (watch !== null) {
        this.#adopt(attempt, watch);
        return;
      }
      output = attempt.output();
      if (attempt.child.exitCode !== HELD_BY_OTHER) await this.#setAsideBrokenFiles(output);
      await delay(PROBE_EVERY_MS * 5);
    }
    throw new GymError(
      "queue_failed",
      `the private Redis did not start: ${output.trim() || "no answer on its socket"}`,
    );
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#keeping;
    this.#watch?.disconnect();
    const child = this.#child;
    this.#child = null;
    if (child === null) return;
    await stop(child);
    // Others may keep their sockets in it; then it stays.
    await rmdir(this.#runDir).catch(() => undefined);
  }

  #adopt(attempt: Attempt, watch: Redis): void {
    this.#child = isRunning(attempt.child) ? attempt.child : null;
    this.#watch = watch;
    watch.once("end", () => {
      if (this.#closing) return;
      this.#log?.warn({ socket: this.#socket }, "private redis ended, starting it again");
      this.#keeping = this.#keepUp();
    });
  }

  async #keepUp(): Promise<void> {
    for (let wait = PROBE_EVERY_MS; !this.#closing; wait = Math.min(wait * 2, MAX_RESTART_DELAY_MS)) {
      try {
        if (this.#child !== null) await stop(this.#child);
        this.#child = null;
        await this.start();
        this.#log?.info({ socket: this.#socket }, "private redis is back");
        return;
      } catch (error) {
        this.#log?.error({ err: error }, "private redis does not start");
        await delay(wait);
      }
    }
  }

  /** A connection that ended its greeting with the server, or null when there will be none. */
  async #answer(attempt: Attempt, deadline: number): Promise<Redis | null> {
    while (Date.now() < deadline) {
      const held = attempt.child.exitCode === HELD_BY_OTHER;
      if (!isRunning(attempt.child) && !held) return null;
      const redis = connectRedis(this.url, { lazyConnect: true, retryStrategy: () => null });
      try {
        await redis.connect();
        return redis;
      } catch {
        redis.disconnect();
      }
      // The lock's holder may be on its way out: then it never answers and the lock is soon free.
      if (held) return null;
      await delay(PROBE_EVERY_MS);
    }
    return null;
  }

  async #spawn(): Promise<Attempt> {
    const server = await findProgram(["redis-server", "valkey-server"], this.#searchPath);
    if (server === null)
      throw new GymError("queue_failed", "there is no redis-server: install redis-server, or set POLYGYM_REDIS_URL");
    for (const tool of ["setpriv", "flock"])
      if ((await findProgram([tool], this.#searchPath)) === null)
        throw new GymError("queue_failed", `there is no ${tool}: install util-linux, or set POLYGYM_REDIS_URL`);
    const lock = [
      "flock",
      "--nonblock",
      "--no-fork",
      "--conflict-exit-code",
      String(HELD_BY_OTHER),
      join(this.#dir, "lock"),
    ];
    const argv = ["setpriv", "--pdeathsig", "TERM", ...lock, server, ...serverOptions(this.#dir, this.#socket)];
    const [command = server, ...args] = argv;
    // Each time: whoever ended the last server may have taken the folder with it.
    makePrivateFolder(this.#runDir);
    // detached: a Ctrl-C of the terminal reaches us only, and we close it last.
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], detached: true });
    let kept = "";
    const keep = (chunk: Buffer) => {
      kept = (kept + chunk.toString()).slice(-OUTPUT_KEPT);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.on("error", (error) => {
      kept += error.message;
    });
    return { child, output: () => kept };
  }

  /** An append-only file that Redis cannot read is kept beside; the queues are rebuilt from the store. */
  async #setAsideBrokenFiles(output: string): Promise<void> {
    if (
      !/Bad file format reading the append only file|AOF .*(corrupt|invalid)|appendonly.*manifest.*invalid/i.test(
        output,
      )
    )
      return;
    const aside = join(this.#dir, `broken-${Date.now()}`);
    await rename(join(this.#dir, "appendonlydir"), aside);
    this.#log?.error({ aside }, "redis could not read its append-only file; it was set aside");
  }
}

interface Attempt {
  readonly child: ChildProcess;
  output(): string;
}

const isRunning = (child: ChildProcess): boolean =>
  child.pid !== undefined && child.exitCode === null && child.signalCode === null;

async function stop(child: ChildProcess): Promise<void> {
  if (!isRunning(child)) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  const killer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
  await ended;
  clearTimeout(killer);
}

function serverOptions(dir: string, socket: string): string[] {
  const options: Record<string, string> = {
    port: "0",
    unixsocket: socket,
    unixsocketperm: "700",
    dir,
    appendonly: "yes",
    appendfsync: "everysec",
    save: "",
    "maxmemory-policy": "noeviction",
    loglevel: "notice",
    daemonize: "no",
  };
  return Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
}

/** A folder for sockets in a place that others may write to: it must be ours and closed to them. */
function makePrivateFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const found = lstatSync(path);
  const mine = process.getuid === undefined || found.uid === process.getuid();
  if (!found.isDirectory() || !mine || (found.mode & 0o022) !== 0)
    throw new GymError(
      "queue_failed",
      `${path} is not a folder of this user alone: remove it or set POLYGYM_REDIS_URL`,
    );
}

async function findProgram(names: readonly string[], folders: readonly string[]): Promise<string | null> {
  for (const name of names) {
    for (const folder of folders) {
      const path = join(folder, name);
      if (
        await access(path, constants.X_OK).then(
          () => true,
          () => false,
        )
      )
        return path;
    }
  }
  return null;
}
