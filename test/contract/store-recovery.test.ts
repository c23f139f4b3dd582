import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFile, mkdtemp, open, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { EpisodeEvent } from "../../core/events.ts";
import { type EpisodeId, newEpisodeId, sha256 } from "../../core/ids.ts";
import type { Store } from "../../core/store.ts";
import { openStore } from "../../platform/store/open.ts";
import {
  DONE,
  eventOf,
  granted,
  note,
  SAMPLE_BODY,
  sampleRecord,
  sampleToken,
  sampleVerdict,
} from "./store-samples.ts";

/** What the embedded store makes of torn files, lost files and dead processes. */

const log = pino({ level: "silent" });
let dir: string;
const opened: Store[] = [];
const children: ChildProcess[] = [];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "polygym-recovery-"));
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await Promise.all(opened.splice(0).map((store) => store.close()));
  await rm(dir, { recursive: true });
});

async function openAs(processId: string): Promise<Store> {
  const store = await openStore({ dir, processId, log });
  opened.push(store);
  return store;
}

const segments = () => join(dir, "segments");
const filesOf = async (suffix: string) =>
  (await readdir(segments())).filter((f) => f.endsWith(suffix)).map((f) => join(segments(), f));
const only = async (suffix: string) => {
  const files = await filesOf(suffix);
  expect(files).toHaveLength(1);
  return files[0] ?? "";
};
const numbers = (events: readonly EpisodeEvent[]) => events.map((event) => event.n);

async function writeNotes(id: EpisodeId, count: number): Promise<void> {
  const store = await openAs("worker_a");
  for (let n = 0; n < count; n++) await store.append([note({ id, n })]);
  await store.close();
}

function writer(processId: string, id: EpisodeId, count: number, ending = ""): ChildProcess {
  const script = join(import.meta.dirname, "store-writer.ts");
  const child = spawn(process.execPath, [script, dir, processId, id, String(count), ending], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  return child;
}

async function* printed(child: ChildProcess): AsyncGenerator<number> {
  if (child.stdout === null) throw new Error("the writer has no output");
  for await (const line of createInterface(child.stdout)) yield Number(line);
}

/** As if the machine had been started since. */
function forgetBoot(): void {
  const database = new DatabaseSync(join(dir, "store.db"));
  database.exec("UPDATE meta SET value = 'an earlier start' WHERE name = 'boot'");
  database.close();
}

async function removeDatabase(): Promise<void> {
  for (const suffix of ["", "-wal", "-shm"]) await rm(join(dir, `store.db${suffix}`), { force: true });
}

test("a torn last line is passed over, and its number can be written again", async () => {
  const id = newEpisodeId();
  await writeNotes(id, 3);
  const segment = await only(".jsonl");
  await truncate(segment, (await readFile(segment)).length - 7);
  const store = await openAs("worker_b");
  expect(numbers((await store.events(id)).events)).toEqual([0, 1]);
  await store.append([note({ id, n: 2 }, "again")]);
  expect((await store.events(id)).events.at(-1)).toEqual(note({ id, n: 2 }, "again"));
});

test("an index that is missing is made again", async () => {
  const id = newEpisodeId();
  await writeNotes(id, 3);
  await rm(await only(".idx"));
  const store = await openAs("worker_b");
  expect(numbers((await store.events(id)).events)).toEqual([0, 1, 2]);
  expect((await readFile(await only(".idx"), "utf8")).split("\n")).toHaveLength(4);
});

test("lines that a killed writer put in no index are found", async () => {
  const id = newEpisodeId();
  await writeNotes(id, 3);
  const index = await only(".idx");
  const [first = ""] = (await readFile(index, "utf8")).split("\n");
  await writeFile(index, `${first}\nep_torn`);
  expect(numbers((await (await openAs("worker_b")).events(id)).events)).toEqual([0, 1, 2]);
});

test("index lines of a batch that was never written are passed over", async () => {
  const id = newEpisodeId();
  await writeNotes(id, 2);
  const size = (await readFile(await only(".jsonl"))).length;
  await appendFile(await only(".idx"), `${id} context.compacted 2 0 - ${size} 120\n`);
  expect(numbers((await (await openAs("worker_b")).events(id)).events)).toEqual([0, 1]);
});

test("bytes that a crash of the machine left empty end the segment", async () => {
  const id = newEpisodeId();
  await writeNotes(id, 4);
  const segment = await only(".jsonl");
  const lines = (await readFile(segment, "utf8")).split("\n");
  const kept = `${lines.slice(0, 2).join("\n")}\n`.length;
  const file = await open(segment, "r+");
  await file.write(Buffer.alloc((await file.stat()).size - kept), 0, null, kept);
  await file.close();
  forgetBoot();
  const database = new DatabaseSync(join(dir, "store.db"));
  database.exec("UPDATE segments SET sealed = 0");
  database.close();
  expect(numbers((await (await openAs("worker_b")).events(id)).events)).toEqual([0, 1]);
});

test("a line that is damaged in its middle is an error, never a gap", async () => {
  const id = newEpisodeId();
  await writeNotes(id, 3);
  const segment = await only(".jsonl");
  const file = await open(segment, "r+");
  await file.write("#####", 10);
  await file.close();
  await expect((await openAs("worker_b")).events(id)).rejects.toMatchObject({ code: "store_failed" });
});

test("transactions that a crash of the machine took back are made up for from the segments", async () => {
  const store = await openAs("worker_a");
  const record = sampleRecord({ run: "r" });
  await store.createEpisode(record, SAMPLE_BODY);
  await store.update(record.episode_id, { term: 0 }, DONE);
  const done = await store.episode(record.episode_id);
  const database = new DatabaseSync(join(dir, "store.db"));
  database.exec("DELETE FROM episodes; DELETE FROM episode_segments; DELETE FROM segments");
  database.close();
  forgetBoot();
  await store.close();
  expect(await (await openAs("worker_b")).episode(record.episode_id)).toEqual(done);
});

test("a lost database is made again from the segments: records, terms, verdicts, completions, events", async () => {
  const store = await openAs("worker_a");
  const ended = sampleRecord({ run: "r", labels: { lane: "1" }, created_at: 1 });
  const judging = sampleRecord({ created_at: 2 });
  const living = sampleRecord({ created_at: 3 });
  for (const record of [ended, judging, living]) {
    await store.createEpisode(record, SAMPLE_BODY);
    await store.grantTerm(record.episode_id, "worker_a", 0);
    await store.append([granted({ id: record.episode_id, n: 0, term: 1 })]);
  }
  const verdict = sampleVerdict();
  await store.addVerdict(ended.episode_id, verdict);
  await store.append([eventOf({ id: ended.episode_id, n: 1, term: 1 }, { type: "verdict.recorded", verdict })]);
  await store.update(ended.episode_id, { term: 1 }, DONE);
  const done = await store.episode(ended.episode_id);
  const submission = sha256("submission");
  await store.append([
    eventOf(
      { id: judging.episode_id, n: 1, term: 1 },
      { type: "submission.frozen", submission, manifest: [], refused: [], stop_reason: "step_limit" },
    ),
  ]);
  await store.close();
  await removeDatabase();

  const again = await openAs("worker_b");
  expect(await again.episode(ended.episode_id)).toEqual(done);
  expect(await again.verdicts(ended.episode_id)).toEqual([verdict]);
  expect((await again.completions({}, {})).items).toEqual([done]);
  expect(await again.episode(judging.episode_id)).toMatchObject({
    state: "verifying",
    term: 1,
    submission,
    stop_reason: "step_limit",
  });
  expect(await again.episode(living.episode_id)).toMatchObject({ state: "booting", term: 1, worker: "worker_a" });
  expect(await again.grantTerm(living.episode_id, "worker_b", 1)).toMatchObject({ term: 2 });
  expect((await again.createEpisode(living, SAMPLE_BODY)).sameBody).toBe(true);
  expect(numbers((await again.events(ended.episode_id)).events)).toEqual([0, 1]);
  expect((await again.episodes({}, {})).items.map((r) => r.created_at)).toEqual([3, 2, 1]);
});

test("tokens and keys are in the database alone, the secret and the blobs are not", async () => {
  const store = await openAs("worker_a");
  const secret = await store.secret();
  const blob = await store.putBlob(Buffer.from("kept"));
  await store.addToken(sampleToken());
  await store.close();
  await removeDatabase();
  const again = await openAs("worker_b");
  expect(await again.secret()).toBe(secret);
  expect(Buffer.from((await again.blob(blob)) ?? []).toString()).toBe("kept");
  expect(await again.tokens()).toEqual([]);
});

test("a blob whose content changed is an error", async () => {
  const store = await openAs("worker_a");
  const digest = await store.putBlob(Buffer.from("content"));
  await writeFile(join(dir, "blobs", digest.slice("sha256:".length)), "other");
  await expect(store.blob(digest)).rejects.toMatchObject({ code: "store_failed" });
});

test("processes that open a new store at once share it", async () => {
  const stores = await Promise.all(["a", "b", "c", "d"].map((name) => openAs(`worker_${name}`)));
  const record = sampleRecord();
  const made = await Promise.all(stores.map((store) => store.createEpisode(record, SAMPLE_BODY)));
  expect(made.filter((answer) => answer.created)).toHaveLength(1);
});

test("two processes write at once and a third reads all of it", async () => {
  const [a, b] = [newEpisodeId(), newEpisodeId()];
  const running = [writer("worker_a", a, 200), writer("worker_b", b, 200)];
  const codes = await Promise.all(running.map(async (child) => ((await once(child, "exit")) as [number | null])[0]));
  expect(codes).toEqual([0, 0]);
  const reader = await openAs("worker_c");
  for (const id of [a, b]) expect(numbers((await reader.events(id)).events)).toEqual([...Array(200).keys()]);
}, 30_000);

test("what a writer called durable outlives kill -9 at any moment", async () => {
  for (const killAfter of [0, 7, 31]) {
    const id = newEpisodeId();
    const child = writer(`worker_k${killAfter}`, id, 100_000);
    let last = -1;
    for await (const n of printed(child)) {
      last = Math.max(last, n);
      if (n === killAfter) child.kill("SIGKILL");
    }
    const events = numbers((await (await openAs(`worker_r${killAfter}`)).events(id)).events);
    expect(events.length).toBeGreaterThanOrEqual(last + 1);
    expect(events).toEqual([...Array(events.length).keys()]);
  }
}, 60_000);

test("a reader in another process sees each event as soon as its writer does", async () => {
  const id = newEpisodeId();
  const reader = await openAs("worker_r");
  let looked = 0;
  for await (const n of printed(writer("worker_w", id, 50))) {
    expect((await reader.events(id, { after: n - 1 })).events[0]?.n).toBe(n);
    looked++;
  }
  expect(looked).toBe(50);
}, 30_000);

test("events that do not fit on the disk are refused whole, and later ones are written", async () => {
  const store = await openAs("worker_a");
  const id = newEpisodeId();
  await store.append([note({ id, n: 0 })]);
  // The folder of the segments stands in for the disk: without it no new segment can be made.
  const broken = await openStore({ dir, processId: "worker_b", log });
  opened.push(broken);
  await rm(segments(), { recursive: true });
  await writeFile(segments(), "in the way");
  await expect(broken.append([note({ id, n: 1 })])).rejects.toMatchObject({ code: "store_failed", retryable: true });
  await rm(segments());
  await broken.append([note({ id: newEpisodeId(), n: 0 })]);
});
