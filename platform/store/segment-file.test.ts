import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { EventType } from "../../core/events.ts";
import { SegmentFile } from "./segment-file.ts";
import type { NewLine } from "./segment-line.ts";
import { SegmentWriter } from "./segment-writer.ts";

const EPISODES = 200;
const TYPES: readonly EventType[] = ["episode.created", "term.granted", "step.accepted", "step.observed"];

let dir = "";
let writer: SegmentWriter;
let segment = "";
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "segment-file-"));
  writer = new SegmentWriter({
    dir,
    processId: "worker_a",
    register: async (name) => {
      segment = name;
    },
    seal: async () => undefined,
  });
});
afterEach(async () => {
  await writer.close();
  await rm(dir, { recursive: true, force: true });
});

const line = (episodeId: string, type: EventType, n: number): NewLine => ({
  episodeId,
  head: { episodeId, type, n, term: 1 },
  bytes: Buffer.from(`{"n":${n}}\n`),
});
const id = (index: number) => `ep_${index}`;
const numbers = (file: SegmentFile, episode: string, after?: number) =>
  file.entries(episode, after).map((entry) => entry.n);

test("of ended episodes only the place of their lines is kept, and they are read as before", async () => {
  for (const [n, type] of TYPES.entries())
    await writer.append(Array.from({ length: EPISODES }, (_, index) => line(id(index), type, n)));
  const file = new SegmentFile(join(dir, segment));
  file.refresh();
  expect(file.size).toBe(EPISODES * TYPES.length);
  expect(numbers(file, id(7))).toEqual([0, 1, 2, 3]);
  await writer.append(Array.from({ length: EPISODES - 1 }, (_, index) => line(id(index + 1), "episode.ended", 4)));
  file.refresh();
  expect(file.size).toBe(EPISODES - 1 + TYPES.length);
  expect(numbers(file, id(7))).toEqual([0, 1, 2, 3, 4]);
  expect(numbers(file, id(7), 2)).toEqual([3, 4]);
  expect(numbers(file, id(0))).toEqual([0, 1, 2, 3]);
  expect(file.episodes()).toHaveLength(EPISODES);
  await writer.append([line(id(7), "verdict.recorded", 5), line(id(0), "step.accepted", 4)]);
  file.refresh();
  expect(numbers(file, id(7))).toEqual([0, 1, 2, 3, 4, 5]);
  expect(numbers(file, id(0))).toEqual([0, 1, 2, 3, 4]);
  file.close();
});

test("of episodes that had no line for long only the place of their lines is kept, ended or not", async () => {
  const episodes = Array.from({ length: 4_000 }, (_, index) => id(index));
  await writer.append(
    episodes.flatMap((episode) => [line(episode, "episode.created", 0), line(episode, "term.granted", 1)]),
  );
  const file = new SegmentFile(join(dir, segment));
  file.refresh();
  expect(file.size).toBe(1_000 * 2 + 3_000);
  await writer.append([line(id(0), "step.accepted", 2), line(id(3_999), "step.accepted", 2)]);
  file.refresh();
  const whole = new SegmentFile(join(dir, segment));
  whole.refresh();
  for (const one of [file, whole]) {
    expect(numbers(one, id(0))).toEqual([0, 1, 2]);
    expect(numbers(one, id(3_999))).toEqual([0, 1, 2]);
    for (const episode of episodes.slice(1, 3_999)) expect(numbers(one, episode)).toEqual([0, 1]);
    expect(new Set(one.episodes())).toEqual(new Set(episodes));
    expect(numbers(one, "ep_4000")).toEqual([]);
    one.close();
  }
});

test("an episode whose lines lie far apart keeps them", async () => {
  await writer.append([line("ep_long", "episode.created", 0)]);
  const others = Array.from({ length: 12_000 }, (_, n) => line("ep_other", "step.accepted", n));
  await writer.append(others);
  await writer.append([line("ep_long", "episode.ended", 1)]);
  const file = new SegmentFile(join(dir, segment));
  file.refresh();
  expect(file.size).toBe(others.length + 2);
  expect(numbers(file, "ep_long")).toEqual([0, 1]);
  file.close();
});
