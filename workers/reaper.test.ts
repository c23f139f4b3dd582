import { afterEach, beforeEach, expect, test } from "vitest";
import type { EpisodeRecord } from "../core/episode.ts";
import { SAMPLE_BODY, sampleRecord } from "../test/contract/store-samples.ts";
import { openWorkerParts, type WorkerParts } from "../test/worker-parts.ts";
import { reapEpisodes, WorkerCensus } from "./reaper.ts";

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
