import { afterEach, beforeEach, expect, test } from "vitest";
import type { EpisodeRecord } from "../core/episode.ts";
import type { VerifyJob } from "../core/jobs.ts";
import { SAMPLE_BODY, sampleRecord } from "../test/contract/store-samples.ts";
import { openWorkerParts, type WorkerParts } from "../test/worker-parts.ts";
import { resumeFromBirth } from "./episode/journal.ts";
import { verifyEpisode } from "./verify.ts";

let parts: WorkerParts;
beforeEach(async () => {
  parts = await openWorkerParts();
});
afterEach(() => parts[Symbol.asyncDispose]());

async function judge(over: Partial<EpisodeRecord>): Promise<EpisodeRecord | null> {
  const { store } = parts.deps;
  const record = sampleRecord({
    state: "verifying",
    term: 1,
    worker: "worker_gone",
    stop_reason: "submitted",
    ...over,
  });
  await store.createEpisode(record, SAMPLE_BODY);
  await resumeFromBirth(store, record);
  const job: Extract<VerifyJob, { kind: "episode" }> = { kind: "episode", episode_id: record.episode_id, term: 1 };
  await verifyEpisode(parts.deps, job, new AbortController().signal);
  return store.episode(record.episode_id);
}

test("an episode whose judges die again and again is given up without a reward, and its log ends", async () => {
  const done = await judge({ lost_terms: 4 });
  expect(done).toMatchObject({ state: "done", outcome: "verifier_error", reward: null, trainable: false });
  expect(done?.failure?.message).toMatch(/5 workers in a row died/);
  const { events } = await parts.deps.store.events(done?.episode_id ?? sampleRecord().episode_id);
  expect(events.map((event) => event.type)).toEqual(["episode.created", "reward.committed", "episode.ended"]);
});

test("a judge that was replaced while it was held up records no verdict and commits no reward", async () => {
  const { deps } = parts;
  const store = {
    ...deps.store,
    secret: async () => {
      // Another worker takes over between the beginning and the verdict.
      const [record] = await deps.store.unfinished(["verifying"], 0);
      if (record !== undefined) await deps.store.update(record.episode_id, { term: 1 }, { worker: "worker_b" });
      return deps.store.secret();
    },
  };
  parts = { ...parts, deps: { ...deps, store } };
  await expect(judge({})).rejects.toMatchObject({ code: "stale_term" });
  const [record] = await deps.store.unfinished(["verifying"], 0);
  expect(record).toMatchObject({ state: "verifying", worker: "worker_b", reward: null });
  expect(record === undefined ? null : await deps.store.verdicts(record.episode_id)).toEqual([]);
});
