import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chownSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Client } from "pg";

/** A PostgreSQL cluster of the test's own, in a temporary folder. */
export interface TestPostgres extends AsyncDisposable {
  /** Over the unix socket. */
  readonly url: string;
  /** A new, empty database; answers its URL. */
  createDatabase(): Promise<string>;
  /** Ends the server at once, as a crash does, and starts it again. */
  restart(): Promise<void>;
}

export interface PostgresOptions {
  /** TCP address to listen on as well. (Default: the unix socket only) */
  readonly address?: string;
  readonly port?: number;
}

const START_MS = 30_000;

/** Installs PostgreSQL where it is missing and this user may. Answers the folder of its programs, or why there is none. */
export async function postgresPrograms(): Promise<{ bin: string } | { missing: string }> {
  const known = await findPrograms();
  if (known !== null) return { bin: known };
  if (process.getuid?.() !== 0) return { missing: "PostgreSQL is not installed and only root can install it" };
  const installed = spawnSync("sh", ["-c", "apt-get update -q && apt-get install -y -q postgresql"], {
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    timeout: 300_000,
    encoding: "utf8",
  });
  const found = await findPrograms();
  if (found !== null) return { bin: found };
  const reason = (installed.stderr ?? "").trim().split("\n").at(-1) ?? "";
  return { missing: `apt-get could not install postgresql: ${reason}` };
}

async function findPrograms(): Promise<string | null> {
  const root = "/usr/lib/postgresql";
  const versions = await readdir(root).catch((): string[] => []);
  const latest = versions.sort((a, b) => Number(b) - Number(a))[0];
  if (latest !== undefined) return join(root, latest, "bin");
  const which = spawnSync("sh", ["-c", "dirname $(command -v pg_ctl)"], { encoding: "utf8" });
  return which.status === 0 ? which.stdout.trim() : null;
}

export async function openTestPostgres(
  bin: string,
  { address, port = 5432 }: PostgresOptions = {},
): Promise<TestPostgres> {
  const dir = await mkdtemp(join(tmpdir(), "polygym-pg-"));
  const user = serverUser();
  if (user !== null) chownSync(dir, user.uid, user.gid);
  const data = join(dir, "data");
  // Run as the server's user, which root is not allowed to be.
  const as = user === null ? {} : user;
  const init = spawnSync(join(bin, "initdb"), ["-D", data, "-U", "polygym", "-A", "trust", "-E", "UTF8"], {
    ...as,
    cwd: dir,
    encoding: "utf8",
  });
  if (init.status !== 0) throw new Error(`initdb failed: ${init.stderr}`);
  const start = () => startServer({ bin, dir, data, as, address: address ?? "", port });
  let server = await start();
  const url = `postgres://polygym@/postgres?host=${encodeURIComponent(dir)}&port=${port}`;
  let databases = 0;
  const inside = address === undefined ? null : `postgres://polygym@${address}:${port}`;
  return {
    url,
    createDatabase: async () => {
      const name = `db${++databases}`;
      await query(url, `CREATE DATABASE ${name}`);
      return inside === null
        ? `postgres://polygym@/${name}?host=${encodeURIComponent(dir)}&port=${port}`
        : `${inside}/${name}`;
    },
    restart: async () => {
      await server.stop("SIGQUIT");
      server = await start();
    },
    [Symbol.asyncDispose]: async () => {
      await server.stop("SIGQUIT");
      await rm(dir, { recursive: true, force: true });
    },
  };
}

interface ServerOptions {
  readonly bin: string;
  readonly dir: string;
  readonly data: string;
  readonly as: { uid?: number; gid?: number };
  readonly address: string;
  readonly port: number;
}

async function startServer({ bin, dir, data, as, address, port }: ServerOptions) {
  const settings = {
    unix_socket_directories: dir,
    listen_addresses: address,
    port: String(port),
    max_connections: "60",
  };
  const args = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const child = spawn(join(bin, "postgres"), ["-D", data, ...args], {
    ...as,
    cwd: dir,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said = `${said}${chunk.toString()}`.slice(-4_000);
  });
  const ended = once(child, "exit");
  const url = `postgres://polygym@/postgres?host=${encodeURIComponent(dir)}&port=${port}`;
  const deadline = Date.now() + START_MS;
  for (;;) {
    try {
      await query(url, "SELECT 1");
      break;
    } catch (error) {
      if (child.exitCode !== null || Date.now() > deadline)
        throw new Error(`PostgreSQL does not start: ${said}`, { cause: error });
      await delay(50);
    }
  }
  return {
    stop: async (signal: NodeJS.Signals) => {
      child.kill(signal);
      await ended;
    },
  };
}

/** The packaged server's user, else nobody: PostgreSQL refuses to run as root. Null: we are not root. */
function serverUser(): { uid: number; gid: number } | null {
  if (process.getuid?.() !== 0) return null;
  const idOf = (flag: string, name: string) =>
    Number(spawnSync("id", [flag, name], { encoding: "utf8" }).stdout.trim());
  const name = spawnSync("id", ["postgres"]).status === 0 ? "postgres" : "nobody";
  return { uid: idOf("-u", name), gid: idOf("-g", name) };
}

async function query(url: string, text: string): Promise<void> {
  const client = new Client({ connectionString: url });
  client.on("error", () => undefined);
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}
