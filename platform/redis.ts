import { type RedisOptions as DriverOptions, Redis } from "ioredis";

export type { Redis } from "ioredis";

/** How a reply is shaped is the driver's default everywhere. */
export type RedisOptions = Omit<DriverOptions, "replyMapping">;

/** A reconnect is tried this often at least: a Redis that is back is used within a second. */
const MAX_RECONNECT_MS = 1_000;
/**
 * A connection that owes an answer and is silent for this long is opened again: the other end may be gone without a word.
 * Longer than any blocking read (5 s here, 10 s in BullMQ).
 */
const SILENT_MS = 15_000;
const OLDEST_VERSION = [6, 2] as const;

/** Options for `redis://`, `rediss://`, `unix:///path` and plain paths. Reconnects for ever; commands wait meanwhile. */
export function redisOptions(url: string): RedisOptions {
  const socket = url.startsWith("unix://") ? url.slice("unix://".length) : url.startsWith("/") ? url : null;
  const address: RedisOptions = socket === null ? addressOf(new URL(url)) : { path: socket };
  return {
    ...address,
    maxRetriesPerRequest: null,
    socketTimeout: SILENT_MS,
    retryStrategy: (times) => Math.min(20 * 2 ** Math.min(times, 10), MAX_RECONNECT_MS),
  };
}

function addressOf(url: URL): RedisOptions {
  if (url.protocol !== "redis:" && url.protocol !== "rediss:")
    throw new TypeError(`a Redis URL starts with redis://, rediss:// or unix://, got ${url.protocol}//`);
  const db = url.pathname.length > 1 ? Number.parseInt(url.pathname.slice(1), 10) : 0;
  return {
    host: url.hostname,
    port: url.port === "" ? 6379 : Number(url.port),
    db,
    ...(url.username === "" ? {} : { username: decodeURIComponent(url.username) }),
    ...(url.password === "" ? {} : { password: decodeURIComponent(url.password) }),
    ...(url.protocol === "rediss:" ? { tls: {} } : {}),
  };
}

/**
 * Opens a connection; the caller ends it with `disconnect()`. Errors of the connection itself are left to its reconnects:
 * a command shows them to whoever waits for it.
 */
export function connectRedis(url: string, options: RedisOptions = {}): Redis {
  const redis = new Redis(Object.assign(redisOptions(url), options));
  redis.on("error", () => undefined);
  return redis;
}

/** What is wrong with this Redis for our purpose, each as a sentence that says what to do. Empty: nothing. */
export async function checkRedis(redis: Redis): Promise<string[]> {
  const problems: string[] = [];
  const version = /redis_version:(\d+)\.(\d+)/.exec(await redis.info("server"));
  const [major, minor] = [Number(version?.[1] ?? 0), Number(version?.[2] ?? 0)];
  if (major < OLDEST_VERSION[0] || (major === OLDEST_VERSION[0] && minor < OLDEST_VERSION[1]))
    problems.push(`Redis ${major}.${minor} is too old: use ${OLDEST_VERSION.join(".")} or later`);
  const policy = await setting(redis, "maxmemory-policy");
  if (policy !== "noeviction")
    problems.push(`maxmemory-policy is ${policy ?? "unknown"}: set it to noeviction, or queued work can vanish`);
  const appendOnly = await setting(redis, "appendonly");
  if (appendOnly !== "yes")
    problems.push(`appendonly is ${appendOnly ?? "unknown"}: set it to yes, or a restart of Redis forgets the queues`);
  return problems;
}

/** Null when the server does not tell (managed ones refuse CONFIG). */
async function setting(redis: Redis, name: string): Promise<string | null> {
  try {
    const answer: unknown = await redis.call("CONFIG", "GET", name);
    return Array.isArray(answer) && typeof answer[1] === "string" ? answer[1] : null;
  } catch {
    return null;
  }
}
