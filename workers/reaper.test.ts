import { afterEach, beforeEach, expect, test } from "vitest";
import type { EpisodeRecord } from "../core/episode.ts";
import type { Presence } from "../core/mail.ts";
import { SAMPLE_BODY, sampleRecord } from "../test/contract/store-samples.ts";
import { openWorkerParts, type WorkerParts } from "../test/worker-parts.ts";
import { reapEpisodes, WorkerCensus } from "./reaper.ts";

const PRESENCE: Presence = {
  id: "worker_a",
  kind: "worker",
  pid: 1,
  host: "here",
  version: "1",
  started_at: 1,
  seen_at: 1,
  state: "running",
  live: 0,
  capacity: 1,
  jobs: 0,
  sandboxes: 0,
  snapshots: 0,
  snapshot_bytes: 0,
  tier: "fake",
  runtimes: [],
  rss_bytes: 1,
  loop_p99_ms: 0,
};

let parts: WorkerParts;
beforeEach(async () => {
  parts = await openWorkerParts();
});
afterEach(() => parts[Symbol.asyncDispose]());

async function judged(worker: string): Promise<EpisodeRecord> {
  const record = sampleRecord({ state: "verifying", term: 1, worker, updated_at: 1_000 });
  await parts.deps.store.createEpisode(record, SAMPLE_BODY);
  return record;
}

const reap = (owns: (id: string) => boolean): Promise<number> =>
  reapEpisodes(parts.deps, { census: new WorkerCensus(parts.redis, "worker_a"), owns });
const waiting = async (): Promise<number> => (await parts.deps.queues.counts()).verify.waiting;

test("a verification whose job Redis forgot is begun again by the worker that gave it up", async () => {
  const { episode_id } = await judged("worker_a");
  expect(await reap(() => false)).toBe(1);
  expect(await waiting()).toBe(1);
  expect(await parts.deps.store.episode(episode_id)).toMatchObject({ state: "verifying", worker: null });
});

test("a verification that goes on is left alone", async () => {
  await judged("worker_a");
  expect(await reap(() => true)).toBe(0);
  expect(await waiting()).toBe(0);
});

test("a verification of a worker that is gone is begun again", async () => {
  await judged("worker_gone");
  expect(await reap(() => false)).toBe(1);
  expect(await waiting()).toBe(1);
});

test("nobody is taken for dead because Redis was away or took nothing; who stays silent then is", async () => {
  const { redis } = parts;
  const present = async (...ids: string[]): Promise<void> => {
    await redis.flushall();
    for (const id of ids) {
      await redis.set(`presence:${id}`, JSON.stringify({ ...PRESENCE, id }));
      await redis.sadd("presence:workers", id);
    }
  };
  const census = new WorkerCensus(redis, "worker_a");
  await present("worker_a", "worker_b");
  await census.take(1_000);
  await present("worker_a");
  await census.take(31_000); // 30 s without news
  expect(census.lives("worker_b")).toBe(true);
  await present(); // not even its own word is taken
  for (let at = 32_000; at < 40_000; at += 1_000) await census.take(at);
  expect(census.lives("worker_b")).toBe(true);
  await present("worker_a");
  for (let at = 40_000; at < 45_000; at += 1_000) await census.take(at);
  expect(census.lives("worker_b")).toBe(false);
  expect(census.lives("worker_a")).toBe(true);
});
