import { loadConfig } from "../../platform/config.ts";
import { startRedis } from "../../platform/private-redis.ts";

/** A process of its own that starts the private Redis of POLYGYM_HOME, says so, and stays until it is killed. */
const redis = await startRedis(loadConfig());
process.stdout.write(`${redis.url}\n`);
setInterval(() => undefined, 60_000);
