import { execFile } from "node:child_process";
import { chmod, copyFile, mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { buildLight } from "../../docker/light/build.ts";
import { loadConfig } from "../../platform/config.ts";
import { type Gym, startGym } from "../gym.ts";
import type { Dice } from "./dice.ts";
import { type Footprint, footprintOf } from "./machine.ts";
import { freePort, startProxy, type TcpProxy } from "./proxy.ts";
import { type ChaosRedis, startChaosRedis } from "./redis.ts";

const run = promisify(execFile);

/** What a fault needs of the service that it is injected into. */
export interface LabNeeds {
  /** (Default: 2) */
  readonly workers?: number;
  /** (Default: 256) */
  readonly episodesPerWorker?: number;
  /** The store lies on a file system of its own, this large. (Default: on the machine's) */
  readonly disk?: { readonly megabytes: number; readonly inodes: number };
}

/** A whole service of its own, with the places where faults go in: its processes, its Redis, the way there, its disk. */
export interface Lab extends AsyncDisposable {
  readonly gym: Gym;
  readonly home: string;
  readonly redis: ChaosRedis;
  /** Between the service and its Redis. */
  readonly proxy: TcpProxy;
  readonly footprint: Footprint;
}

/** Nothing of it outlives its disposal. */
export async function openLab(needs: LabNeeds, dice: Dice): Promise<Lab> {
  const { root } = loadConfig();
  await using parts = new AsyncDisposableStack();
  const home = await mkdtemp(join("/tmp", "chaos-"));
  parts.defer(() => rm(home, { recursive: true, force: true }));
  if (needs.disk !== undefined) {
    const { megabytes, inodes } = needs.disk;
    const store = join(home, "store");
    await mkdir(store);
    await run("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m,nr_inodes=${inodes},mode=700`, "tmpfs", store]);
    parts.defer(async () => void (await run("umount", ["-l", store])));
  }
  // Built once for all rows, not by every worker of every row.
  const binary = await buildLight(join(root, ".polygym"));
  await mkdir(join(home, "tools"));
  await copyFile(binary, join(home, "tools", basename(binary)));
  await chmod(join(home, "tools", basename(binary)), (await stat(binary)).mode);
  // Beside the home: a full disk must not be Redis's.
  const beside = await mkdtemp(join("/tmp", "chaos-beside-"));
  parts.defer(() => rm(beside, { recursive: true, force: true }));
  const tmp = join(beside, "tmp");
  await mkdir(tmp);
  const redis = parts.use(await startChaosRedis(beside, await freePort()));
  const proxy = parts.use(await startProxy(redis.port, dice.of("proxy")));
  const { workers = 2, episodesPerWorker = 256 } = needs;
  const redisUrl = `redis://127.0.0.1:${proxy.port}`;
  const gym = await startGym({ workers, episodesPerWorker, home, redisUrl, environment: { TMPDIR: tmp } });
  parts.defer(() => gym.stop());
  const { runDir } = loadConfig({ POLYGYM_HOME: home });
  const footprint = footprintOf({ home, runDir, tmp });
  footprint.observe();
  const owned = parts.move();
  return { gym, home, redis, proxy, footprint, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
