import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Config } from "../../platform/config.ts";
import { type RedisHandle, startRedis } from "../../platform/private-redis.ts";
import { checkRedis, connectRedis, type Redis } from "../../platform/redis.ts";
import { emptyHome, removeHome } from "../test-redis.ts";

let config: Config;
const handles: RedisHandle[] = [];
const connections: Redis[] = [];
const children: ChildProcess[] = [];

beforeEach(async () => {
  config = await emptyHome();
});
afterEach(async () => {
  for (const connection of connections.splice(0)) connection.disconnect();
  for (const child of children.splice(0)) child.kill("SIGKILL");
  for (const handle of handles.splice(0)) await handle.close();
  await removeHome(config);
});

async function start(): Promise<RedisHandle> {
  const handle = await startRedis(config);
  handles.push(handle);
  return handle;
}

function connect(url: string): Redis {
  const redis = connectRedis(url);
  connections.push(redis);
  return redis;
}

/** A process that owns the Redis of this home. */
async function owner(): Promise<ChildProcess> {
  const script = join(import.meta.dirname, "redis-owner.ts");
  const child = spawn(process.execPath, [script], {
    env: { ...process.env, POLYGYM_HOME: config.home },
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  await once(child.stdout, "data");
  return child;
}

const serverPid = async (redis: Redis) => Number(/process_id:(\d+)/.exec(await redis.info("server"))?.[1]);
const lives = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

test("starts a server that evicts nothing, appends to a file and listens on no port", async () => {
  const redis = connect((await start()).url);
  expect(await checkRedis(redis)).toEqual([]);
  expect(await redis.call("CONFIG", "GET", "port")).toEqual(["port", "0"]);
});

test("says what is wrong with a server that may lose work", async () => {
  const redis = connect((await start()).url);
  await redis.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru");
  await redis.call("CONFIG", "SET", "appendonly", "no");
  expect(await checkRedis(redis)).toEqual([
    expect.stringContaining("noeviction"),
    expect.stringContaining("appendonly"),
  ]);
});

test("uses the configured server and starts none", async () => {
  const handle = await startRedis({ ...config, redisUrl: "redis://elsewhere:6379" });
  expect(handle.url).toBe("redis://elsewhere:6379");
  await handle.close();
});

test("a second start in the same home uses the running server", async () => {
  const first = connect((await start()).url);
  const second = connect((await start()).url);
  expect(await serverPid(second)).toBe(await serverPid(first));
});

test("keeps what was written over an end and a new start", async () => {
  const first = await start();
  await connect(first.url).set("kept", "1");
  await first.close();
  expect(await connect((await start()).url).get("kept")).toBe("1");
});

test("close ends the server", async () => {
  const handle = await start();
  const pid = await serverPid(connect(handle.url));
  await handle.close();
  expect(lives(pid)).toBe(false);
});

test("kill -9 of its process ends the server", async () => {
  const child = await owner();
  const redis = connect(`unix://${join(config.runDir, "redis.sock")}`);
  const pid = await serverPid(redis);
  child.kill("SIGKILL");
  await vi.waitFor(() => expect(lives(pid)).toBe(false), { timeout: 5_000, interval: 20 });
});

test("who used the server of a process that was killed starts it again, with what was in it", async () => {
  const child = await owner();
  const redis = connect((await start()).url);
  await redis.set("kept", "1");
  await redis.call("WAITAOF", "1", "0", "2000").catch(() => redis.call("CONFIG", "SET", "appendfsync", "always"));
  const pid = await serverPid(redis);
  child.kill("SIGKILL");
  await vi.waitFor(async () => expect(await serverPid(redis)).not.toBe(pid), { timeout: 10_000, interval: 20 });
  expect(await redis.get("kept")).toBe("1");
});

test("a server that dies is started again", async () => {
  const redis = connect((await start()).url);
  const pid = await serverPid(redis);
  process.kill(pid, "SIGKILL");
  await vi.waitFor(async () => expect(await serverPid(redis)).not.toBe(pid), { timeout: 10_000, interval: 20 });
});

test("a socket that a dead server left is no hindrance", async () => {
  await mkdir(config.runDir, { recursive: true, mode: 0o700 });
  await writeFile(join(config.runDir, "redis.sock"), "");
  expect(await connect((await start()).url).ping()).toBe("PONG");
});

test("a file that Redis cannot read is set aside", async () => {
  const first = await start();
  await connect(first.url).set("a", "1");
  await first.close();
  const folder = join(config.home, "redis", "appendonlydir");
  const incremental = (await readdir(folder)).find((name) => name.endsWith(".incr.aof")) ?? "";
  await writeFile(join(folder, incremental), "no command at all\r\n*9\r\n");
  expect(await connect((await start()).url).ping()).toBe("PONG");
  expect((await readdir(join(config.home, "redis"))).some((name) => name.startsWith("broken-"))).toBe(true);
});

test("a socket folder that others may write to is refused", async () => {
  await mkdir(config.runDir, { recursive: true });
  await chmod(config.runDir, 0o777);
  await expect(startRedis(config)).rejects.toMatchObject({ code: "queue_failed" });
});
