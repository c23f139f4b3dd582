import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { newEpisodeId, sha256 } from "../../core/ids.ts";
import type { BlobPlace } from "../../platform/blob-place.ts";
import { openStore } from "../../platform/store/open.ts";
import { openPostgresStore } from "../../platform/store/postgres/open.ts";
import { openTestPostgres, postgresPrograms, type TestPostgres } from "../test-postgres.ts";
import { missingS3, openTestS3 } from "../test-s3.ts";
import { storeContract } from "./store.ts";
import { DONE, note, SAMPLE_BODY, sampleRecord } from "./store-samples.ts";

const programs = await postgresPrograms();
if ("missing" in programs) console.warn(`the PostgreSQL store is not tested: ${programs.missing}`);
const log = pino({ level: "silent" });

describe.skipIf("missing" in programs)("with a PostgreSQL server", () => {
  let server: TestPostgres;
  beforeAll(async () => {
    server = await openTestPostgres("bin" in programs ? programs.bin : "");
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  const open = (url: string, processId: string, over: { blobs?: BlobPlace; now?: () => number } = {}) =>
    openStore({ url, dir: "unused", processId, log, ...over });

  storeContract("postgres", async () => {
    const url = await server.createDatabase();
    return {
      open: (processId, now = Date.now) => open(url, processId, { now }),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  });

  test("many processes that open an empty database at once make its schema once", async () => {
    const url = await server.createDatabase();
    const stores = await Promise.all(Array.from({ length: 6 }, (_, i) => open(url, `worker_${i}`)));
    expect(await stores[0]?.jobs()).toEqual([]);
    await Promise.all(stores.map((store) => store.close()));
    expect(await rowsOf(url, "SELECT version FROM migrations")).toEqual([
      { version: 1 },
      { version: 2 },
      { version: 3 },
      { version: 4 },
      { version: 5 },
      { version: 6 },
      { version: 7 },
      { version: 8 },
    ]);
  });

  test("a database of a newer build is refused with what to do", async () => {
    const url = await server.createDatabase();
    await (await open(url, "worker_a")).close();
    await rowsOf(url, "INSERT INTO migrations (version) VALUES (99)");
    await expect(open(url, "worker_b")).rejects.toMatchObject({
      code: "store_failed",
      message: expect.stringContaining("newer build"),
    });
  });

  test("calls made while the server crashes and starts again are answered, each effect once", async () => {
    await using own = await openTestPostgres("bin" in programs ? programs.bin : "");
    const url = own.url;
    await using store = await open(url, "worker_a");
    const record = sampleRecord();
    await store.createEpisode(record, SAMPLE_BODY);
    const id = newEpisodeId();
    const restarting = own.restart();
    const appended = Array.from({ length: 40 }, (_, n) => store.append([note({ id, n })]));
    const granted = store.grantTerm(record.episode_id, "worker_a", 0);
    const [grant] = await Promise.all([granted, restarting, ...appended]);
    expect(grant).toMatchObject({ term: 1, worker: "worker_a" });
    expect((await store.events(id)).events.map((event) => event.n)).toEqual([...Array(40).keys()]);
    expect(await store.episode(record.episode_id)).toMatchObject({ term: 1 });
  });

  test("many writers of one record each get their turn or a refusal, and none is lost", async () => {
    const url = await server.createDatabase();
    await using a = await open(url, "worker_a");
    await using b = await open(url, "worker_b");
    const { episode_id, ...record } = sampleRecord();
    await a.createEpisode({ ...record, episode_id }, SAMPLE_BODY);
    const flags = Array.from({ length: 12 }, (_, i) => `flag_${i}`);
    const grants = await Promise.all(flags.map((flag, i) => (i % 2 ? a : b).grantTerm(episode_id, flag, 0)));
    expect(grants.filter((grant) => grant !== null)).toHaveLength(1);
  });

  test("followers see every completion, however many end at once", async () => {
    const url = await server.createDatabase();
    await using a = await open(url, "worker_a");
    await using b = await open(url, "worker_b");
    const records = Array.from({ length: 60 }, () => sampleRecord());
    await Promise.all(records.map((record) => a.createEpisode(record, SAMPLE_BODY)));
    const seen: string[] = [];
    let after: string | undefined;
    const follow = async () => {
      const page = await a.completions({}, { after });
      after = page.cursors.at(-1) ?? after;
      seen.push(...page.items.map((record) => record.episode_id));
    };
    let ended = false;
    const ending = Promise.all(
      records.map((record, i) => (i % 2 ? a : b).update(record.episode_id, { term: 0 }, DONE)),
    ).finally(() => {
      ended = true;
    });
    while (!ended) await follow();
    await ending;
    await follow();
    expect(seen.toSorted()).toEqual(records.map((record) => record.episode_id).toSorted());
  });

  test("large blobs go to the shared folder where there is one, and in parts to the database else", async () => {
    const dir = await mkdtemp(join(tmpdir(), "polygym-blobs-"));
    const url = await server.createDatabase();
    await using shared = await open(url, "worker_a", { blobs: { kind: "folder", dir } });
    await using alone = await open(url, "worker_b");
    const large = Buffer.alloc(2_500_000, "abc");
    const small = Buffer.from("small");
    expect(await shared.putBlob(large)).toBe(sha256(large));
    await shared.putBlob(small);
    expect(await readdir(dir)).toEqual([sha256(large).slice("sha256:".length)]);
    expect(await alone.blob(sha256(large))).toBeNull();
    expect(await alone.putBlob(large)).toBe(sha256(large));
    expect(await alone.blob(sha256(large))).toEqual(large);
    expect(await alone.blob(sha256(small))).toEqual(small);
    expect(await rowsOf(url, "SELECT max(octet_length(data)) AS bytes FROM blob_parts")).toEqual([
      { bytes: 1_048_576 },
    ]);
    await rm(dir, { recursive: true });
  });

  test("large blobs go to the bucket where there is one, small ones and what they belong to do not", async (context) => {
    const missing = missingS3();
    if (missing !== null) return context.skip(missing);
    await using service = await openTestS3();
    const url = await server.createDatabase();
    await using a = await open(url, "worker_a", { blobs: service.place });
    await using b = await open(url, "worker_b", { blobs: service.place });
    const large = Buffer.alloc(2_500_000, "abc");
    await a.putBlob(Buffer.from("small"));
    expect(await a.putBlob(large)).toBe(sha256(large));
    expect(await service.objects()).toEqual([sha256(large).slice("sha256:".length)]);
    expect(await b.blob(sha256(large))).toEqual(large);
    expect(await rowsOf(url, "SELECT digest FROM blobs")).toEqual([{ digest: sha256("small") }]);
    const snapshot = await a.putSnapshot(Buffer.alloc(2_500_000, "def"));
    expect(await service.objects()).toHaveLength(2);
    await b.dropSnapshot(snapshot);
    expect(await service.objects()).toEqual([sha256(large).slice("sha256:".length)]);
  });

  test("text that PostgreSQL cannot hold comes back, is found, and is no failure where there is none", async () => {
    const url = await server.createDatabase();
    await using store = await open(url, "worker_a");
    const odd = 'a\u0000"\ud800';
    const record = sampleRecord({ run: odd, labels: { [odd]: odd } });
    await store.createEpisode(record, SAMPLE_BODY);
    expect(await store.episode(record.episode_id)).toEqual(record);
    expect((await store.episodes({ run: odd, label: `${odd}=${odd}` }, {})).items).toHaveLength(1);
    expect((await store.runs({})).map((run) => run.run)).toEqual([odd]);
    expect((await store.episodes({ task: "demo/\u0000" }, {})).items).toEqual([]);
    expect(await store.idempotency("tok_1", "route", "k\u0000", sha256("b"))).toEqual({ status: "new" });
    expect(await store.revokeToken("\u0000")).toBe(false);
  });

  test("a server that is not there is a failure of the store that names no password", async () => {
    const failing = openPostgresStore({
      url: "postgres://polygym:very-secret@127.0.0.1:1/none",
      blobs: null,
      processId: "worker_a",
      log,
      now: Date.now,
      patienceMs: 300,
    });
    const error: unknown = await failing.then(
      () => null,
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ code: "store_failed", retryable: true });
    expect(String(error)).not.toContain("very-secret");
  });
});

async function rowsOf(url: string, text: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}
