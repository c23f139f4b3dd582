import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chownSync } from "node:fs";
import { appendFile, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Client } from "pg";
import { installByApt } from "./apt.ts";

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
  /** Network namespace to listen in, on every address, to whoever has the password. (Default: the unix socket only) */
  readonly network?: { readonly namespace: string; readonly password: string };
}

const PORT = 5432;

const START_MS = 30_000;

/** Installs PostgreSQL where it is missing and this user may. Answers the folder of its programs, or why there is none. */
export async function postgresPrograms(): Promise<{ bin: string } | { missing: string }> {
  const known = await findPrograms();
  if (known !== null) return { bin: known };
  const problem = installByApt("postgresql");
  const found = await findPrograms();
  return found === null
    ? { missing: problem ?? "PostgreSQL was installed, but not where it is looked for" }
    : { bin: found };
}

async function findPrograms(): Promise<string | null> {
  const root = "/usr/lib/postgresql";
  const versions = await readdir(root).catch((): string[] => []);
  const latest = versions.sort((a, b) => Number(b) - Number(a))[0];
  if (latest !== undefined) return join(root, latest, "bin");
  const which = spawnSync("sh", ["-c", "dirname $(command -v pg_ctl)"], { encoding: "utf8" });
  return which.status === 0 ? which.stdout.trim() : null;
}

export async function openTestPostgres(bin: string, { network }: PostgresOptions = {}): Promise<TestPostgres> {
  const dir = await mkdtemp(join(tmpdir(), "polygym-pg-"));
  const user = serverUser();
  if (user !== null) chownSync(dir, user.uid, user.gid);
  const data = join(dir, "data");
  const init = spawnSync(join(bin, "initdb"), ["-D", data, "-U", "polygym", "-A", "trust", "-E", "UTF8"], {
    ...user,
    cwd: dir,
    encoding: "utf8",
  });
  if (init.status !== 0) throw new Error(`initdb failed: ${init.stderr}`);
  if (network !== undefined) await appendFile(join(data, "pg_hba.conf"), "\nhost all all all scram-sha-256\n");
  const start = () => startServer({ bin, dir, data, user, namespace: network?.namespace ?? null });
  let server = await start();
  const url = socketUrl(dir, "postgres");
  if (network !== undefined) await query(url, `ALTER USER polygym PASSWORD '${network.password}'`);
  let databases = 0;
  return {
    url,
    createDatabase: async () => {
      const name = `db${++databases}`;
      await query(url, `CREATE DATABASE ${name}`);
      return socketUrl(dir, name);
    },
    restart: async () => {
      await server.stop();
      server = await start();
    },
    [Symbol.asyncDispose]: async () => {
      await server.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

const socketUrl = (dir: string, database: string): string =>
  `postgres://polygym@/${database}?host=${encodeURIComponent(dir)}&port=${PORT}`;

interface ServerOptions {
  readonly bin: string;
  readonly dir: string;
  readonly data: string;
  /** PostgreSQL refuses to run as root. */
  readonly user: { uid: number; gid: number } | null;
  readonly namespace: string | null;
}

async function startServer({ bin, dir, data, user, namespace }: ServerOptions) {
  const settings = {
    unix_socket_directories: dir,
    listen_addresses: namespace === null ? "" : "*",
    port: String(PORT),
    max_connections: "60",
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const program = [join(bin, "postgres"), "-D", data, ...flags];
  const enter = ["nsenter", `--net=/run/netns/${namespace}`, `--setgid=${user?.gid}`, `--setuid=${user?.uid}`];
  const [command = "", ...args] = namespace === null ? program : [...enter, ...program];
  const child = spawn(command, args, {
    ...(namespace === null ? user : {}),
    cwd: dir,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said = `${said}${chunk.toString()}`.slice(-4_000);
  });
  const ended = once(child, "exit");
  const deadline = Date.now() + START_MS;
  for (;;) {
    try {
      await query(socketUrl(dir, "postgres"), "SELECT 1");
      break;
    } catch (error) {
      if (child.exitCode !== null || Date.now() > deadline)
        throw new Error(`PostgreSQL does not start: ${said}`, { cause: error });
      await delay(50);
    }
  }
  return {
    /** At once, as a crash does. */
    stop: async () => {
      child.kill("SIGQUIT");
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
