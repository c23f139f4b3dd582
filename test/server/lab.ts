import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ApiRole } from "../../core/records.ts";
import type { Store } from "../../core/store.ts";
import { loadConfig } from "../../platform/config.ts";
import { openImageBoard } from "../../platform/image-board.ts";
import { openLog } from "../../platform/log.ts";
import { openMailbox, readMailbox } from "../../platform/mailbox.ts";
import { openMetrics } from "../../platform/metrics.ts";
import { announce, presences } from "../../platform/presence.ts";
import { startRedis } from "../../platform/private-redis.ts";
import { openQueues } from "../../platform/queues.ts";
import { checkRedis, connectRedis } from "../../platform/redis.ts";
import { openStore } from "../../platform/store/open.ts";
import { buildApp } from "../../server/app.ts";
import { hashSecret, newToken, newTokenId } from "../../server/auth/secrets.ts";
import type { App } from "../../server/routes/app.ts";
import { labCatalog } from "./catalog.ts";
import { type LabOptions, type LabWorker, startLabWorker } from "./lab-worker.ts";

export interface Lab extends AsyncDisposable {
  readonly app: App;
  readonly url: string;
  readonly store: Store;
  readonly home: string;
  readonly redisUrl: string;
  /** A new token with these roles. */
  token(...roles: ApiRole[]): Promise<string>;
  worker(options?: Pick<LabOptions, "bootGate">): Promise<LabWorker>;
}

/** A server that listens, over a Redis and a store of its own. `settings`: as in the environment. */
export async function openLab(settings: Readonly<Record<string, string>> = {}): Promise<Lab> {
  const home = await mkdtemp(join(tmpdir(), "polygym-server-"));
  const config = loadConfig({ PATH: "/usr/bin:/usr/sbin:/bin", ...settings }, { home, kind: "server" });
  const redisServer = await startRedis(config);
  const url = redisServer.url;
  const log = openLog({ level: "fatal", name: "server", processId: config.processId });
  const redis = connectRedis(url);
  const store = await openStore({ dir: config.storeDir, processId: config.processId, log });
  const queues = openQueues({ url });
  const mailbox = openMailbox({ redis, blobs: store });
  const serverId = config.processId;
  const presence = announce({
    redis,
    describe: () => ({
      id: serverId,
      kind: "server",
      pid: process.pid,
      host: "here",
      version: "0",
      started_at: 0,
      seen_at: Date.now(),
      state: "running",
      live: 0,
      capacity: 0,
      jobs: 0,
      sandboxes: 0,
      snapshots: 0,
      snapshot_bytes: 0,
      tier: null,
      runtimes: [],
      rss_bytes: 0,
      loop_p99_ms: 0,
    }),
  });
  await presence.refresh();
  const app = await buildApp({
    serverId,
    config,
    store,
    queues,
    mailbox,
    log,
    metrics: openMetrics(),
    images: openImageBoard({ redis }),
    catalog: labCatalog,
    readMail: (onMail) => readMailbox({ url, kind: "server", id: serverId, onMail, blobs: store, log }),
    workers: () => presences(redis, "worker"),
    checkRedis: () => checkRedis(redis),
    loopP99: () => 0,
  });
  const address = await app.listen({ host: "127.0.0.1", port: 0 });
  return {
    app,
    url: address,
    store,
    home,
    redisUrl: url,
    token: async (...roles) => {
      const token = newToken(roles[0] ?? "viewer");
      await store.addToken({
        id: newTokenId(),
        hash: hashSecret(token),
        roles,
        name: null,
        created_at: Date.now(),
        revoked_at: null,
      });
      return token;
    },
    worker: async (options = {}) => {
      const workerStore = store;
      return startLabWorker({ url, store: workerStore, log, ...options });
    },
    [Symbol.asyncDispose]: async () => {
      await presence.close();
      await app.close();
      await queues.close();
      await mailbox.close();
      await store.close();
      redis.disconnect();
      await redisServer.close();
      await rm(home, { recursive: true, force: true });
    },
  };
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into answers of many shapes
export type Loose = any; // oxlint-disable-line typescript/no-explicit-any

export interface Answer {
  readonly status: number;
  readonly body: Loose;
  readonly headers: Headers;
  readonly text: string;
}

/** One HTTP call with a JSON body, as a plain client makes it. */
export async function call(
  lab: Pick<Lab, "url">,
  token: string | null,
  method: string,
  path: string,
  options: { body?: unknown; headers?: Record<string, string>; signal?: AbortSignal } = {},
): Promise<Answer> {
  const response = await fetch(`${lab.url}${path}`, {
    method,
    redirect: "manual",
    headers: {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(options.body === undefined ? {} : { "content-type": "application/json" }),
      ...options.headers,
    },
    ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const text = await response.text();
  const isJson = (response.headers.get("content-type") ?? "").includes("json");
  return { status: response.status, body: isJson ? JSON.parse(text) : null, headers: response.headers, text };
}

export const cell = { task_id: "lab/answer", framework: "lab.messages" };
export const say = (content: string) => ({ message: { role: "assistant", content } });
