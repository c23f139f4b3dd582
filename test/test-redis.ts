import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Config, loadConfig } from "../platform/config.ts";
import { startRedis } from "../platform/private-redis.ts";

export interface TestRedis extends AsyncDisposable {
  readonly url: string;
  /** An empty home, with the Redis in it. */
  readonly config: Config;
}

/** A Redis of the test's own, in a home of its own. */
export async function openTestRedis(): Promise<TestRedis> {
  const config = await emptyHome();
  const redis = await startRedis(config);
  return {
    url: redis.url,
    config,
    [Symbol.asyncDispose]: async () => {
      await redis.close();
      await removeHome(config);
    },
  };
}

export async function emptyHome(): Promise<Config> {
  const home = await mkdtemp(join(tmpdir(), "polygym-home-"));
  return loadConfig({ PATH: process.env.PATH, POLYGYM_HOME: home });
}

export async function removeHome(config: Config): Promise<void> {
  await rm(config.runDir, { recursive: true, force: true });
  await rm(config.home, { recursive: true, force: true });
}
