import { hostname } from "node:os";
import type { Presence } from "../core/mail.ts";
import { type Config, loadConfig } from "../platform/config.ts";
import { openImageBoard } from "../platform/image-board.ts";
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
  const store = await openStore({
    url: config.storeUrl,
    blobs: config.blobs,
    dir: config.storeDir,
    processId: serverId,
    log,
  });
  const tokenFile = await ensureOperatorToken(store, config.home);
  const queues = openQueues({ url });
  const mailbox = openMailbox({ redis, blobs: store });
  const loop = loopGauge();
  const presence = announce({
    redis,
    describe: () => presenceOf(config, loop.measure()),
  });
  const app = await buildApp({
    serverId,
    config,
    store,
    queues,
    mailbox,
    log,
    metrics: openMetrics(),
    images: openImageBoard({ redis }),
    catalog: openCatalog({ home: config.home, store }),
    readMail: (onMail) => readMailbox({ url, kind: "server", id: serverId, onMail, blobs: store, log }),
    workers: () => presences(redis, "worker"),
    checkRedis: () => checkRedis(redis),
    loopP99: () => loop.last(),
  });
  onShutdown(log, async () => {
    await presence.close();
    await app.close();
    await queues.close();
    await mailbox.close();
    await store.close();
    loop.close();
    redis.disconnect();
  });
  const address = await app.listen({ host: config.host, port: config.port });
  log.info({ address, tokenFile }, "listening");
}

const startedAt = Date.now();

const presenceOf = (config: Config, loopP99Ms: number): Presence => ({
  id: config.processId,
  kind: "server",
  pid: process.pid,
  host: hostname(),
  version: config.version,
  started_at: startedAt,
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
  rss_bytes: process.memoryUsage.rss(),
  loop_p99_ms: loopP99Ms,
});

/** Measured once a second for the presence; others read the last value, because a reading resets it. */
function loopGauge(): { measure(): number; last(): number; close(): void } {
  const loop = watchLoop();
  let last = 0;
  return {
    measure: () => {
      last = loop.p99();
      return last;
    },
    last: () => last,
    close: () => loop[Symbol.dispose](),
  };
}

await main();
