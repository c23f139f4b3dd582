import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { FakeProvider } from "../docker/fake/provider.ts";
import { ImageStore } from "../docker/image-store/store.ts";
import { openSharedCatalog } from "../environments/tasks/shared-catalog.ts";
import { openImageBoard } from "../platform/image-board.ts";
import { openMailbox } from "../platform/mailbox.ts";
import { openQueues } from "../platform/queues.ts";
import { connectRedis, type Redis } from "../platform/redis.ts";
import { openStore } from "../platform/store/open.ts";
import { ServerPool } from "../verifiers/clean-room/server-pool.ts";
import { Bases } from "../workers/bases.ts";
import type { WorkerDeps } from "../workers/deps.ts";
import { ImageGate } from "../workers/images/gate.ts";
import { openTestRedis } from "./test-redis.ts";

export interface WorkerParts extends AsyncDisposable {
  readonly deps: WorkerDeps;
  readonly redis: Redis;
}

/** The parts of worker `worker_a`, with a store and a Redis of their own and nothing in its catalogs. */
export async function openWorkerParts(): Promise<WorkerParts> {
  const server = await openTestRedis();
  const redis = connectRedis(server.url);
  const queues = openQueues({ url: server.url });
  const dir = await mkdtemp(join(tmpdir(), "worker-parts-"));
  const log = pino({ level: "silent" });
  const store = await openStore({ url: null, dir, processId: "worker_a", log });
  const provider = new FakeProvider();
  const imageStore = await ImageStore.open({
    home: dir,
    tier: provider.tier,
    dockerHost: "unix:///run/no-engine.sock",
  });
  const images = new ImageGate({ store: imageStore, board: openImageBoard({ redis }), queues });
  const deps: WorkerDeps = {
    workerId: "worker_a",
    store,
    queues,
    mailbox: openMailbox({ redis, blobs: store }),
    provider,
    bases: new Bases(provider, images),
    servers: new ServerPool(),
    images,
    tasks: openSharedCatalog({ home: dir, store }),
    frameworks: [],
    verifiers: [],
    policies: [],
    saving: { steps: 20, ms: 300_000, inPlace: true },
    livePerToken: null,
    egress: false,
    log,
  };
  return {
    deps,
    redis,
    [Symbol.asyncDispose]: async () => {
      await Promise.all([store.close(), queues.close()]);
      redis.disconnect();
      await server[Symbol.asyncDispose]();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
