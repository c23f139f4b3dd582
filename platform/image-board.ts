import { ImageBuild, ImageItem, type ImageLog } from "../core/images.ts";
import type { Redis } from "./redis.ts";

/** Lines of one build's log; beyond them the first go. */
const MOST_LINES = 2_000;
const MOST_LINE_CHARS = 1_000;
/** Lines in one answer. */
const PAGE_LINES = 500;
/** What a machine said of its images is forgotten when it says nothing for so long. */
const LIST_MS = 5 * 60_000;
const BUILD_MS = 7 * 86_400_000;
/** A worker that holds the lock says so this often; one that died frees it. */
const LOCK_MS = 8_000;
const RENEW_MS = 2_000;

const STORES = "images:stores";
const listKey = (store: string): string => `images:${store}:list`;
const buildsKey = (store: string): string => `images:${store}:builds`;
const logKey = (store: string, name: string): string => `images:${store}:log:${name}`;
const lockKey = (store: string): string => `images:${store}:lock`;
const cancelKey = (jobId: string): string => `images:cancel:${jobId}`;

/** A build as its machine's store knows it. */
export interface PlacedBuild {
  readonly store: string;
  readonly build: ImageBuild;
}

/** What machines say of their images and builds. The images themselves are on disk; this can be lost and is said again. */
export interface ImageBoard {
  /** Replaces what was said of the store. */
  publish(store: string, images: readonly ImageItem[]): Promise<void>;
  images(): Promise<ImageItem[]>;
  setBuild(store: string, build: ImageBuild): Promise<void>;
  /** Null when none is remembered. */
  build(store: string, name: string): Promise<ImageBuild | null>;
  /** The latest build of each image on each machine. */
  builds(): Promise<PlacedBuild[]>;
  /** Empties the log of the image's last build. */
  startLog(store: string, name: string): Promise<void>;
  appendLog(store: string, name: string, lines: readonly string[]): Promise<void>;
  readLog(store: string, name: string, after: number): Promise<Pick<ImageLog, "lines" | "next" | "dropped">>;
  /** Of the log; null when it is empty. */
  lastLine(store: string, name: string): Promise<string | null>;
  cancel(jobId: string): Promise<void>;
  isCancelled(jobId: string): Promise<boolean>;
  /** The one that may change the images of a store; null while another has it. */
  lock(store: string, owner: string): Promise<AsyncDisposable | null>;
}

export function openImageBoard({ redis }: { redis: Redis }): ImageBoard {
  const stores = (): Promise<string[]> => redis.smembers(STORES);
  return {
    publish: async (store, images) => {
      await redis.sadd(STORES, store);
      await redis.set(listKey(store), JSON.stringify(images), "PX", LIST_MS);
    },
    images: async () => {
      const texts = await Promise.all((await stores()).map((store) => redis.get(listKey(store))));
      return texts.flatMap((text) => (text === null ? [] : ImageItem.array().parse(JSON.parse(text))));
    },
    setBuild: async (store, build) => {
      await redis
        .pipeline()
        .sadd(STORES, store)
        .hset(buildsKey(store), build.name, JSON.stringify(build))
        .pexpire(buildsKey(store), BUILD_MS)
        .exec();
    },
    build: async (store, name) => {
      const text = await redis.hget(buildsKey(store), name);
      return text === null ? null : ImageBuild.parse(JSON.parse(text));
    },
    builds: async () => {
      const found = await Promise.all(
        (await stores()).map(async (store) =>
          (await redis.hvals(buildsKey(store))).map((text) => ({ store, build: ImageBuild.parse(JSON.parse(text)) })),
        ),
      );
      return found.flat();
    },
    ...logs(redis),
    cancel: async (jobId) => {
      await redis.set(cancelKey(jobId), "1", "PX", BUILD_MS);
    },
    isCancelled: async (jobId) => (await redis.exists(cancelKey(jobId))) === 1,
    lock: (store, owner) => takeLock(redis, lockKey(store), owner),
  };
}

function logs(redis: Redis): Pick<ImageBoard, "startLog" | "appendLog" | "readLog" | "lastLine"> {
  const countKey = (store: string, name: string): string => `${logKey(store, name)}:count`;
  return {
    startLog: async (store, name) => {
      await redis.del(logKey(store, name), countKey(store, name));
    },
    appendLog: async (store, name, lines) => {
      if (lines.length === 0) return;
      const cut = lines.slice(-MOST_LINES).map((line) => line.slice(0, MOST_LINE_CHARS));
      const key = logKey(store, name);
      await redis
        .multi()
        .rpush(key, ...cut)
        .ltrim(key, -MOST_LINES, -1)
        .incrby(countKey(store, name), lines.length)
        .pexpire(key, BUILD_MS)
        .pexpire(countKey(store, name), BUILD_MS)
        .exec();
    },
    lastLine: (store, name) => redis.lindex(logKey(store, name), -1),
    readLog: async (store, name, after) => {
      const total = Number((await redis.get(countKey(store, name))) ?? 0);
      const kept = await redis.llen(logKey(store, name));
      const first = Math.max(0, total - kept);
      const from = Math.max(after, first);
      const lines = await redis.lrange(logKey(store, name), from - first, from - first + PAGE_LINES - 1);
      return { lines, next: from + lines.length, dropped: Math.max(0, first - after) };
    },
  };
}

const RELEASE = 'if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) end return 0';
const RENEW =
  'if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("pexpire", KEYS[1], ARGV[2]) end return 0';

async function takeLock(redis: Redis, key: string, owner: string): Promise<AsyncDisposable | null> {
  if ((await redis.set(key, owner, "PX", LOCK_MS, "NX")) !== "OK") return null;
  const timer = setInterval(() => {
    // One that cannot be renewed expires: the job's own lock is lost by then, and the job stopped.
    void redis.eval(RENEW, 1, key, owner, LOCK_MS).catch(() => undefined);
  }, RENEW_MS);
  return {
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer);
      await redis.eval(RELEASE, 1, key, owner);
    },
  };
}
