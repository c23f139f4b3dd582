import { openProvider } from "../docker/catalog.ts";
import { loadConfig } from "../platform/config.ts";
import { openLog } from "../platform/log.ts";
import { onShutdown } from "../platform/shutdown.ts";
import { providerOptions } from "./provider-options.ts";
import { startWorker } from "./worker.ts";

/** A worker process. The Redis to join comes in POLYGYM_REDIS_URL; `polygym up` sets it. */
const config = loadConfig(undefined, { kind: "worker" });
const log = openLog({ level: config.logLevel, name: "worker", processId: config.processId });
if (config.redisUrl === null) {
  log.fatal("POLYGYM_REDIS_URL is not set: start workers with `polygym up` or `polygym worker --redis URL`");
  process.exit(2);
}
const provider = await openProvider({ ...providerOptions(config), log });
const worker = await startWorker({ config, redisUrl: config.redisUrl, provider, log });
onShutdown(log, async () => {
  await worker[Symbol.asyncDispose]();
});
