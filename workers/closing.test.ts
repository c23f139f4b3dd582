import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { EpisodeRecord } from "../core/episode.ts";
import { sha256 } from "../core/ids.ts";
import type { Store } from "../core/store.ts";
import { openStore } from "../platform/store/open.ts";
import { DONE, granted, SAMPLE_BODY, sampleRecord } from "../test/contract/store-samples.ts";
import { completeLogs } from "./closing.ts";
import { resumeFromBirth } from "./episode/journal.ts";

const log = pino({ level: "silent" });
let dir: string;
let store: Store;
let clock = 10_000;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "closing-"));
  store = await openStore({ url: null, dir, processId: "worker_a", log, now: () => clock });
});
afterEach(async () => {
  await store.close();
  await rm(dir, { recursive: true, force: true });
});

/** As it is left by who died between the record of the end and its events. */
async function endedWithoutSaying(): Promise<EpisodeRecord> {
  const record = sampleRecord();
  await store.createEpisode(record, SAMPLE_BODY);
  await store.grantTerm(record.episode_id, "worker_a", 0);
  await resumeFromBirth(store, record);
  await store.append([granted({ id: record.episode_id, n: 1, term: 1 })]);
  await store.update(record.episode_id, { term: 1 }, DONE);
  return record;
}

const typesOf = async ({ episode_id }: EpisodeRecord): Promise<string[]> =>
  (await store.events(episode_id)).events.map((event) => event.type);

test("the end that a dead process did not write into the log is written from the record, once", async () => {
  const record = await endedWithoutSaying();
  expect(await completeLogs({ store, log })).toBe(0); // it may still be coming
  clock += 5_000;
  expect(await completeLogs({ store, log })).toBe(1);
  clock += 5_000;
  expect(await completeLogs({ store, log })).toBe(0);
  expect(await typesOf(record)).toEqual(["episode.created", "term.granted", "reward.committed", "episode.ended"]);
  const { events } = await store.events(record.episode_id);
  expect(events.at(-2)).toMatchObject({ reward: 1, reward_status: "final", trainable: true, term: 1 });
});

test("what an ended episode saved is dropped, but not what others go on from", async () => {
  const record = sampleRecord();
  await store.createEpisode(record, SAMPLE_BODY);
  await store.grantTerm(record.episode_id, "worker_a", 0);
  const { journal } = await resumeFromBirth(store, { ...record, term: 1 });
  const [first, second] = await Promise.all(["1", "2"].map((text) => store.putSnapshot(Buffer.from(text))));
  if (first === undefined || second === undefined) throw new Error("two were put");
  for (const [seq, snapshot] of [first, second].entries())
    await journal.append({ type: "episode.saved", snapshot, workspace: sha256(""), framework_state: null, seq });
  await store.shareSnapshot(second);
  await store.update(record.episode_id, { term: 1 }, DONE);
  clock += 5_000;
  await completeLogs({ store, log });
  expect(await store.blob(first)).toBeNull();
  expect(await store.blob(second)).not.toBeNull();
});

test("a log that has its end is left as it is", async () => {
  const record = await endedWithoutSaying();
  const { journal } = await resumeFromBirth(store, { ...record, term: 1 });
  await journal.append({ type: "episode.ended", stop_reason: "submitted", outcome: "ok", failure: null });
  clock += 5_000;
  expect(await completeLogs({ store, log })).toBe(0);
  expect(await typesOf(record)).toEqual(["episode.created", "term.granted", "episode.ended"]);
});

test("a log that its server did not live to begin begins with its owner", async () => {
  const record = sampleRecord();
  await store.createEpisode(record, SAMPLE_BODY);
  const { journal, events } = await resumeFromBirth(store, { ...record, term: 1 });
  await journal.append({ type: "term.granted", worker: "worker_a", from_n: journal.last + 1 });
  expect(events.map((event) => event.type)).toEqual(["episode.created"]);
  expect((await store.events(record.episode_id)).events.map(({ n, type }) => [n, type])).toEqual([
    [0, "episode.created"],
    [1, "term.granted"],
  ]);
});
