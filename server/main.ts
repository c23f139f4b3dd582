import { hostname } from "node:os";
import { loadConfig } from "../platform/config.ts";
import { openLog } from "../platform/log.ts";
import { openMailbox, readMailbox } from "../platform/mailbox.ts";
import { openMetrics } from "../platform/metrics.ts";
import { announce, presences } from "../platform/presence.ts";
import { openQueues } from "../platform/queues.ts";
import { checkRedis, connectRedis } from "../platform/redis.ts";
import { onShutdown, watchLoop } from "../platform/shutdown.ts";
import { openStore } from "../platform/store/open.ts";
import { buildApp } from "./app.ts";
import { ensureOperatorToken } from "./auth/operator-token.ts";
import { openCatalog } from "./catalog.ts";

/** The server's process: opens every part, listens, and closes them in reverse. */
async function main(): Promise<void> {
  const config = loadConfig(undefined, { kind: "server" });
  const { processId: serverId, redisUrl: url } = config;
  if (url === null) throw new Error("the server needs POLYGYM_REDIS_URL; `polygym up` starts a Redis and the server");
  const log = openLog({ level: config.logLevel, name: "server", processId: serverId });
  const redis = connectRedis(url);
  const store = await openStore({ dir: config.storeDir, processId: serverId, log });
  const tokenFile = await ensureOperatorToken(store, config.home);
  const queues = openQueues({ url });
  const mailbox = openMailbox({ redis });
  const loop = watchLoop();
  let loopP99 = 0;
  const startedAt = Date.now();
  const presence = announce({
    redis,
    describe: () => ({
      id: serverId,
      kind: "server",
      pid: process.pid,
      host: hostname(),
      version: config.version,
      started_at: startedAt,
      seen_at: Date.now(),
      state: "running",
      live: 0,
      capacity: 0,
      sandboxes: 0,
      snapshots: 0,
      tier: null,
      runtimes: [],
      rss_bytes: process.memoryUsage.rss(),
      loop_p99_ms: (loopP99 = loop.p99()),
    }),
  });
  const app = await buildApp({
    serverId,
    config,
    store,
    queues,
    mailbox,
    log,
    metrics: openMetrics(),
    catalog: openCatalog(config),
    readMail: (onMail) => readMailbox({ url, kind: "server", id: serverId, onMail, log }),
    workers: () => presences(redis, "worker"),
    checkRedis: () => checkRedis(redis),
    loopP99: () => loopP99,
  });
  onShutdown(log, async () => {
    await presence.close();
    await app.close();
    await queues.close();
    await mailbox.close();
    await store.close();
    loop[Symbol.dispose]();
    redis.disconnect();
  });
  const address = await app.listen({ host: config.host, port: config.port });
  log.info({ address, tokenFile }, "listening");
}

await main();
