import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { EpisodeRecord } from "../core/episode.ts";
import type { Store } from "../core/store.ts";
import { FakeProvider } from "../docker/fake/provider.ts";
import { openSharedCatalog } from "../environments/tasks/shared-catalog.ts";
import { openMailbox } from "../platform/mailbox.ts";
import { openQueues, type Queues } from "../platform/queues.ts";
import { connectRedis, type Redis } from "../platform/redis.ts";
import { openStore } from "../platform/store/open.ts";
import { SAMPLE_BODY, sampleRecord } from "../test/contract/store-samples.ts";
import { openTestRedis, type TestRedis } from "../test/test-redis.ts";
import { Bases } from "./bases.ts";
import type { WorkerDeps } from "./deps.ts";
import { reapEpisodes, WorkerCensus } from "./reaper.ts";

const log = pino({ level: "silent" });
let server: TestRedis;
let redis: Redis;
let queues: Queues;
let dir: string;
let store: Store;
let deps: WorkerDeps;

beforeEach(async () => {
  server = await openTestRedis();
  redis = connectRedis(server.url);
  queues = openQueues({ url: server.url });
  dir = await mkdtemp(join(tmpdir(), "reaper-"));
  store = await openStore({ url: null, dir, processId: "worker_a", log });
  const provider = new FakeProvider();
  deps = {
    workerId: "worker_a",
    store,
    queues,
    mailbox: openMailbox({ redis, blobs: store }),
    provider,
    bases: new Bases(provider),
    tasks: openSharedCatalog({ home: dir, store }),
    frameworks: [],
    verifiers: [],
    policies: [],
    saving: { steps: 20, ms: 300_000 },
    log,
  };
});
afterEach(async () => {
  await Promise.all([store.close(), queues.close()]);
  redis.disconnect();
  await server[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

async function judged(worker: string): Promise<EpisodeRecord> {
  const record = sampleRecord({ state: "verifying", term: 1, worker, updated_at: 1_000 });
  await store.createEpisode(record, SAMPLE_BODY);
  return record;
}

const reap = (owns: (id: string) => boolean): Promise<number> =>
  reapEpisodes(deps, { census: new WorkerCensus(redis, "worker_a"), owns });

test("a verification whose job Redis forgot is begun again by the worker that gave it up", async () => {
  const { episode_id } = await judged("worker_a");
  expect(await reap(() => false)).toBe(1);
  expect((await queues.counts()).verify.waiting).toBe(1);
  expect(await store.episode(episode_id)).toMatchObject({ state: "verifying", worker: null });
});

test("a verification that goes on is left alone", async () => {
  await judged("worker_a");
  expect(await reap(() => true)).toBe(0);
  expect((await queues.counts()).verify.waiting).toBe(0);
});

test("a verification of a worker that is gone is begun again", async () => {
  await judged("worker_gone");
  expect(await reap(() => false)).toBe(1);
  expect((await queues.counts()).verify.waiting).toBe(1);
});
