import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { EpisodeRecord } from "../../core/episode.ts";
import { newEpisodeId, newJobId, sha256, TaskId } from "../../core/ids.ts";
import type { Store } from "../../core/store.ts";
import {
  DONE,
  eventOf,
  granted,
  note,
  SAMPLE_BODY,
  sampleJob,
  sampleRecord,
  sampleToken,
  sampleVerdict,
} from "./store-samples.ts";

/** One store, empty at first, that several processes may open. */
export interface StoreSpace extends AsyncDisposable {
  /** Opens it as another process would. `now` is the clock. */
  open(processId: string, now?: () => number): Promise<Store>;
}

const DAY_MS = 86_400_000;

/** What every backend of the store port promises. */
export function storeContract(name: string, openSpace: () => Promise<StoreSpace>): void {
  describe(`store ${name}`, () => {
    let space: StoreSpace;
    let store: Store;
    let other: Store;
    let clock: number;

    beforeEach(async () => {
      clock = 10_000;
      space = await openSpace();
      store = await space.open("worker_a", () => clock);
      other = await space.open("worker_b", () => clock);
    });
    afterEach(async () => {
      await Promise.all([store.close(), other.close()]);
      await space[Symbol.asyncDispose]();
    });

    const create = async (over: Partial<EpisodeRecord> = {}) => {
      const record = sampleRecord(over);
      await store.createEpisode(record, SAMPLE_BODY);
      return record;
    };

    test("gives back the record that was made, to every process", async () => {
      const record = await create({ labels: { a: "b" }, run: "r" });
      expect(await store.episode(record.episode_id)).toEqual(record);
      expect(await other.episode(record.episode_id)).toEqual(record);
      expect(await store.episode(newEpisodeId())).toBeNull();
    });

    test("an id that is taken is joined by the same body and refused to another one", async () => {
      const record = await create();
      const again = sampleRecord({ episode_id: record.episode_id, owner: "tok_else" });
      expect(await other.createEpisode(again, SAMPLE_BODY)).toEqual({ created: false, record, sameBody: true });
      expect(await other.createEpisode(again, sha256("else"))).toEqual({ created: false, record, sameBody: false });
    });

    test("1,000 creations at once do not get past an owner's bound, and each end makes room for one", async () => {
      const bound = 40;
      const records = Array.from({ length: 1_000 }, () => sampleRecord());
      const made: EpisodeRecord[] = [];
      const refused = await Promise.all(
        records.map(async (record, i) => {
          try {
            await (i % 2 === 0 ? store : other).createEpisode(record, SAMPLE_BODY, bound);
            made.push(record);
            return null;
          } catch (error) {
            return error;
          }
        }),
      );
      expect(made).toHaveLength(bound);
      expect(refused.find((error) => error !== null)).toMatchObject({ code: "quota", retryAfterS: 30 });
      expect((await store.counts({})).total).toBe(bound);
      const [first] = made;
      if (first === undefined) throw new Error("some were made");
      expect(await other.createEpisode(first, SAMPLE_BODY, bound)).toMatchObject({ created: false, sameBody: true });
      expect(await store.createEpisode(sampleRecord({ owner: "tok_else" }), SAMPLE_BODY, bound)).toMatchObject({
        created: true,
      });
      await store.update(first.episode_id, { term: first.term }, DONE);
      expect(await other.createEpisode(sampleRecord(), SAMPLE_BODY, bound)).toMatchObject({ created: true });
      await expect(store.createEpisode(sampleRecord(), SAMPLE_BODY, bound)).rejects.toMatchObject({ code: "quota" });
    });

    test("of two processes that make one id at once exactly one does", async () => {
      const record = sampleRecord();
      const answers = await Promise.all([
        store.createEpisode(record, SAMPLE_BODY),
        other.createEpisode(record, SAMPLE_BODY),
      ]);
      expect(answers.filter((answer) => answer.created)).toHaveLength(1);
    });

    test("grants a term to one worker only", async () => {
      const { episode_id } = await create();
      const grants = await Promise.all([
        store.grantTerm(episode_id, "worker_a", 0),
        other.grantTerm(episode_id, "worker_b", 0),
      ]);
      const winner = grants.find((grant) => grant !== null);
      expect(grants.filter((grant) => grant === null)).toHaveLength(1);
      expect(winner).toMatchObject({ term: 1, state: "booting" });
      expect(await store.episode(episode_id)).toEqual(winner);
    });

    test("200 grants at once do not get past an owner's share of live ones, and who waits longest is named first", async () => {
      const share = 5;
      const made = await Promise.all(Array.from({ length: 200 }, () => create()));
      const granted: EpisodeRecord[] = [];
      const grant = async (id: EpisodeRecord["episode_id"], from = store) => {
        const record = await from.grantTerm(id, "worker_a", 0, share);
        if (record !== null) granted.push(record);
      };
      const refused = await Promise.all(
        made.map(({ episode_id }, i) =>
          grant(episode_id, i % 2 === 0 ? store : other).catch((error: unknown) => error),
        ),
      );
      expect(granted).toHaveLength(share);
      expect(refused.find((error) => error !== undefined)).toMatchObject({ code: "quota" });
      const waiting = made.filter(({ episode_id: id }) => !granted.some((record) => record.episode_id === id));
      const [first, second] = waiting.slice(0, 2).reverse();
      const [leaver] = granted;
      if (first === undefined || second === undefined || leaver === undefined) throw new Error("some wait");
      for (const { episode_id } of [first, second]) {
        clock++;
        await store.update(episode_id, { term: 0 }, { pending_reason: "quota" });
      }
      const named = async (owner?: string) => (await other.overQuota(owner)).map((record) => record.episode_id);
      expect(await named("tok_owner")).toEqual([first.episode_id, second.episode_id]);
      expect(await named()).toEqual([first.episode_id, second.episode_id]);
      expect(await named("tok_else")).toEqual([]);
      await store.update(leaver.episode_id, { term: 1 }, { state: "parked", worker: null });
      await grant(first.episode_id);
      expect(granted.at(-1)).toMatchObject({ episode_id: first.episode_id, pending_reason: null });
      await expect(grant(second.episode_id, other)).rejects.toMatchObject({ code: "quota" });
      const else_ = await create({ owner: "tok_else" });
      expect(await store.grantTerm(else_.episode_id, "worker_a", 0, share)).toMatchObject({ term: 1 });
      expect(await store.grantTerm(second.episode_id, "worker_a", 0)).toMatchObject({ term: 1 });
      expect(await named()).toEqual([]);
    });

    test("grants no term of an episode that is being judged or is done, or that does not exist", async () => {
      const { episode_id } = await create({ state: "verifying" });
      expect(await store.grantTerm(episode_id, "worker_a", 0)).toBeNull();
      await store.update(episode_id, { term: 0 }, DONE);
      expect(await store.grantTerm(episode_id, "worker_a", 0)).toBeNull();
      expect(await store.grantTerm(newEpisodeId(), "worker_a", 0)).toBeNull();
    });

    test("changes a record only under its term and in the states that were named", async () => {
      const { episode_id } = await create();
      await store.grantTerm(episode_id, "worker_a", 0);
      expect(await other.update(episode_id, { term: 0 }, { steps: 9 })).toBeNull();
      expect(await other.update(episode_id, { term: 1, states: ["ready"] }, { steps: 9 })).toBeNull();
      clock = 20_000;
      expect(await store.update(episode_id, { term: 1, states: ["booting"] }, { state: "ready" })).toMatchObject({
        state: "ready",
        updated_at: 20_000,
        steps: 0,
      });
    });

    test("a reward is committed once, by whoever is first", async () => {
      const { episode_id } = await create();
      const commits = await Promise.all([
        store.update(episode_id, { term: 0 }, DONE),
        other.update(episode_id, { term: 0 }, { ...DONE, reward: 0 }),
      ]);
      expect(commits.filter((commit) => commit !== null)).toHaveLength(1);
      expect(await store.update(episode_id, { term: 0 }, { reward: 0.5 })).toBeNull();
    });

    test("lists the newest first, in pages that neither lose nor repeat one", async () => {
      const made = [];
      for (let i = 0; i < 5; i++) made.push((await create()).episode_id);
      const first = await store.episodes({}, { limit: 2 });
      const second = await store.episodes({}, { limit: 2, after: first.next ?? "" });
      const third = await store.episodes({}, { limit: 2, after: second.next ?? "" });
      expect([...first.items, ...second.items, ...third.items].map((r) => r.episode_id)).toEqual(made.reverse());
      expect(third.next).toBeNull();
    });

    test("filters by every field and counts over the whole filter", async () => {
      const environment = sampleRecord().environment;
      const wanted = await create({
        run: "r1",
        labels: { lane: "x=y" },
        owner: "tok_b",
        script: { name: "gold", variant: "gold" },
      });
      await create({ run: "r1", environment: { ...environment, task_id: "demo/other", split: "sealed" } });
      await create({ environment: { ...environment, framework: "vendor.else" } });
      const ids = async (filter: Parameters<Store["episodes"]>[0]) =>
        (await store.episodes(filter, {})).items.map((r) => r.episode_id);
      expect(await ids({ label: "lane=x=y" })).toEqual([wanted.episode_id]);
      expect(await ids({ owner: "tok_b" })).toEqual([wanted.episode_id]);
      expect(await ids({ scripted: true })).toEqual([wanted.episode_id]);
      expect(await ids({ run: "r1", withoutSealed: true })).toEqual([wanted.episode_id]);
      expect(await ids({ task: "demo/other" })).toHaveLength(1);
      expect(await ids({ framework: "vendor.else" })).toHaveLength(1);
      expect(await ids({ label: "lane=x" })).toEqual([]);
      await store.update(wanted.episode_id, { term: 0 }, DONE);
      expect(await store.counts({ run: "r1" })).toEqual({
        total: 2,
        state: { queued: 1, done: 1 },
        outcome: { ok: 1 },
      });
      expect(await ids({ outcome: "ok", state: "done" })).toEqual([wanted.episode_id]);
    });

    test("lists runs with their counts, the latest first", async () => {
      await create({ run: "old" });
      clock = 20_000;
      const { episode_id } = await create({ run: "new" });
      await create({ run: null });
      await store.update(episode_id, { term: 0 }, DONE);
      const runs = await store.runs({});
      expect(runs.map((run) => run.run)).toEqual(["new", "old"]);
      expect(runs[0]).toMatchObject({ last_at: 20_000, counts: { total: 1, state: { done: 1 }, outcome: { ok: 1 } } });
    });

    test("gives completions in the order in which episodes ended, with cursors to go on from", async () => {
      const [a, b, c] = [await create(), await create(), await create()];
      for (const record of [b, c, a]) await other.update(record.episode_id, { term: 0 }, DONE);
      const all = await store.completions({}, {});
      expect(all.items.map((r) => r.episode_id)).toEqual([b, c, a].map((r) => r.episode_id));
      const rest = await store.completions({}, { after: all.cursors[0], limit: 1 });
      expect(rest.items.map((r) => r.episode_id)).toEqual([c.episode_id]);
      expect(rest.next).toBe(rest.cursors[0]);
      expect((await store.completions({}, { after: all.cursors[2] })).items).toEqual([]);
    });

    test("finds what has not moved for a while in the states that were named", async () => {
      const stale = await create({ state: "booting", updated_at: 1_000 });
      await create({ state: "booting", updated_at: 9_999 });
      await create({ state: "ready", updated_at: 1_000 });
      expect((await store.unfinished(["booting", "queued"], 5_000)).map((r) => r.episode_id)).toEqual([
        stale.episode_id,
      ]);
      expect(await store.unfinished([], 0)).toEqual([]);
    });

    test("finds the parked episodes whose idle time is over, and those that a script drives", async () => {
      const due = await create({ state: "parked", updated_at: 1_000, idle_timeout_s: 8.5 });
      const later = { updated_at: 1_000, idle_timeout_s: 9.5, labels: { x: '"idle_timeout_s":1,"wait_capacity_s":1' } };
      const kept = await create({ state: "parked", ...later });
      await create({ state: "ready", updated_at: 1_000, idle_timeout_s: 1 });
      const script = { name: "gold", variant: "gold" } as const;
      const driven = await create({ state: "parked", updated_at: 9_000, script });
      const ids = (records: readonly EpisodeRecord[]) => records.map((record) => record.episode_id);
      expect(ids(await other.abandoned())).toEqual([due.episode_id]);
      expect(ids(await store.unfinished(["parked"], 0, { scripted: true }))).toEqual([driven.episode_id]);
      clock = 10_501;
      expect(ids(await other.abandoned()).toSorted()).toEqual(ids([due, kept]).toSorted());
    });

    test("a write that names an owner is refused under another one", async () => {
      const { episode_id: id } = await create();
      await store.grantTerm(id, "worker_a", 0);
      expect(await other.update(id, { term: 1, worker: "worker_b" }, { state: "ready" })).toBeNull();
      expect(await other.update(id, { term: 1, worker: "worker_a" }, { state: "ready" })).toMatchObject({
        state: "ready",
      });
    });

    test("names episodes that ended until their logs are said to be closed", async () => {
      const [a, b] = [await create(), await create()];
      await create();
      await store.update(a.episode_id, { term: 0 }, DONE);
      clock += 1_000;
      await store.update(b.episode_id, { term: 0 }, DONE);
      expect((await other.unclosed(500)).map((r) => r.episode_id)).toEqual([a.episode_id]);
      expect((await other.unclosed(0)).map((r) => r.episode_id)).toEqual([a.episode_id, b.episode_id]);
      await other.closeLogs([a.episode_id]);
      await other.closeLogs([]);
      expect((await store.unclosed(0)).map((r) => r.episode_id)).toEqual([b.episode_id]);
    });

    test("keeps one verdict per verifier, version and attempt", async () => {
      const { episode_id } = await create();
      const verdict = sampleVerdict();
      expect(await store.addVerdict(episode_id, verdict)).toBe(true);
      expect(await other.addVerdict(episode_id, { ...verdict, score: 0 })).toBe(false);
      expect(await other.addVerdict(episode_id, { ...verdict, attempt: 2 })).toBe(true);
      expect(await store.verdicts(episode_id)).toEqual([verdict, { ...verdict, attempt: 2 }]);
    });

    test("a durable event is seen by every process within one call", async () => {
      const id = newEpisodeId();
      for (let n = 0; n < 20; n++) {
        await (n % 2 === 0 ? store : other).append([note({ id, n })]);
        const seen = await (n % 2 === 0 ? other : store).events(id);
        expect(seen.events.at(-1)?.n).toBe(n);
      }
      expect((await store.events(id)).events.map((e) => e.n)).toEqual([...Array(20).keys()]);
    });

    test("events keep their content, whatever the text", async () => {
      const id = newEpisodeId();
      const text = `\u0000 "quoted" \n \u2028 🜁 ${"x".repeat(100_000)}`;
      const event = note({ id, n: 0 }, text);
      await store.append([event, note({ id: newEpisodeId(), n: 0 })]);
      expect((await other.events(id)).events).toEqual([event]);
    });

    test("events of an owner that was fenced off are not there", async () => {
      const id = newEpisodeId();
      await store.append([
        note({ id, n: 0 }),
        granted({ id, n: 1, term: 1 }),
        note({ id, n: 2, term: 1 }),
        note({ id, n: 3, term: 1 }),
      ]);
      await other.append([granted({ id, n: 3, term: 2 }, "worker_b"), note({ id, n: 4, term: 2 }, "mine")]);
      await store.append([note({ id, n: 4, term: 1 }, "stale"), note({ id, n: 5, term: 1 }, "stale")]);
      const { events } = await store.events(id);
      expect(events.map((e) => [e.n, e.term])).toEqual([
        [0, 0],
        [1, 1],
        [2, 1],
        [3, 2],
        [4, 2],
      ]);
      expect((await other.events(id, { after: 3 })).events).toEqual([note({ id, n: 4, term: 2 }, "mine")]);
    });

    test("gives events after a number, of the types asked for, within the bytes asked for", async () => {
      const id = newEpisodeId();
      const all = [
        note({ id, n: 0 }),
        granted({ id, n: 1, term: 1 }),
        ...[2, 3, 4, 5].map((n) => note({ id, n, term: 1 }, "y".repeat(500))),
      ];
      await store.append(all);
      expect((await store.events(id, { after: 2 })).events.map((e) => e.n)).toEqual([3, 4, 5]);
      expect((await store.events(id, { types: ["term.granted"] })).events.map((e) => e.n)).toEqual([1]);
      const seen: number[] = [];
      let pages = 0;
      for (let after: number | null = -1; after !== null; pages++) {
        const page = await store.events(id, { after, maxBytes: 1_500 });
        seen.push(...page.events.map((e) => e.n));
        after = page.next;
      }
      expect(seen).toEqual([0, 1, 2, 3, 4, 5]);
      expect(pages).toBeGreaterThan(1);
      expect(await store.events(newEpisodeId())).toEqual({ events: [], next: null });
    });

    test("an event larger than a page comes alone rather than never", async () => {
      const id = newEpisodeId();
      await store.append([note({ id, n: 0 }, "z".repeat(5_000)), note({ id, n: 1 })]);
      const page = await store.events(id, { maxBytes: 100 });
      expect(page.events.map((e) => e.n)).toEqual([0]);
      expect(page.next).toBe(0);
    });

    test("an event of a megabyte is read as it was written, and keeps its place among small ones", async () => {
      const id = newEpisodeId();
      const text = "ü\0".repeat(250_000);
      const small = (n: number) => note({ id, n }, `small ${n}`);
      const large = (n: number) => note({ id, n }, `${n} ${text}`);
      const written = [small(0), large(1), small(2), large(3), small(4)];
      await Promise.all(written.map((event) => store.append([event])));
      expect((await other.events(id)).events).toEqual(written);
      const first = await other.events(id, { maxBytes: 100_000 });
      expect(first.events.length).toBeLessThan(written.length);
      expect((await other.events(id, { after: first.next ?? -1 })).events).toEqual(written.slice(first.events.length));
    });

    test("many appends at once are all durable and in order per episode", async () => {
      const ids = Array.from({ length: 50 }, () => newEpisodeId());
      await Promise.all(
        ids.map(async (id, i) => {
          const writer = i % 2 === 0 ? store : other;
          for (let n = 0; n < 10; n++) await writer.append([note({ id, n })]);
        }),
      );
      for (const id of ids) expect((await store.events(id)).events.map((e) => e.n)).toEqual([...Array(10).keys()]);
    });

    test("events survive a new start of every process", async () => {
      const record = await create();
      await store.append([
        eventOf(
          { id: record.episode_id, n: 0 },
          { type: "episode.created", environment: record.environment, limits: record.limits, seed: 7 },
        ),
      ]);
      await Promise.all([store.close(), other.close()]);
      store = await space.open("worker_c");
      other = await space.open("worker_d");
      expect((await store.events(record.episode_id)).events).toHaveLength(1);
      expect(await other.episode(record.episode_id)).toEqual(record);
    });

    test("keeps blobs by digest, once", async () => {
      const data = Buffer.from([0, 1, 2, 255]);
      const digests = await Promise.all([store.putBlob(data), other.putBlob(data)]);
      expect(digests).toEqual([sha256(data), sha256(data)]);
      expect(Buffer.from((await other.blob(sha256(data))) ?? [])).toEqual(data);
      expect(await store.blob(sha256("nothing"))).toBeNull();
      expect(await store.blob(await store.putBlob(new Uint8Array()))).toHaveLength(0);
    });

    test("drops a snapshot that is its episode's own, and neither a shared one nor another blob", async () => {
      const own = await store.putSnapshot(Buffer.from("own"));
      const shared = await store.putSnapshot(Buffer.from("shared"));
      const blob = await store.putBlob(Buffer.from("blob"));
      const large = await store.putSnapshot(Buffer.alloc(3_000_000, 1));
      expect(await other.shareSnapshot(shared)).toBe(true);
      for (const digest of [own, shared, blob, large, own]) await store.dropSnapshot(digest);
      expect(await other.blob(own)).toBeNull();
      expect(await other.blob(large)).toBeNull();
      expect(Buffer.from((await other.blob(shared)) ?? []).toString()).toBe("shared");
      expect(Buffer.from((await other.blob(blob)) ?? []).toString()).toBe("blob");
      // Whoever read a log before it went on is told.
      expect(await other.shareSnapshot(own)).toBe(false);
      expect(await other.shareSnapshot(shared)).toBe(true);
      expect(await other.shareSnapshot(blob)).toBe(true);
    });

    test("shares or drops a snapshot, whichever comes first", async () => {
      const digests = await Promise.all(
        Array.from({ length: 20 }, (_, i) => store.putSnapshot(Buffer.from(`snapshot ${i}`))),
      );
      const shared = await Promise.all(
        digests.map(async (digest, i) => {
          const both = [() => other.shareSnapshot(digest), () => store.dropSnapshot(digest)];
          const answers = await Promise.all((i % 2 === 0 ? both : both.toReversed()).map((call) => call()));
          return answers[i % 2];
        }),
      );
      const there = await Promise.all(digests.map(async (digest) => (await other.blob(digest)) !== null));
      expect(there).toEqual(shared);
    });

    test("knows a token by its hash until it is revoked", async () => {
      const token = sampleToken();
      await store.addToken(token);
      expect(await other.tokenByHash(token.hash)).toEqual(token);
      expect(await other.tokenByHash("sha256:0")).toBeNull();
      expect(await other.revokeToken(token.id)).toBe(true);
      expect(await other.revokeToken(token.id)).toBe(false);
      expect(await store.tokenByHash(token.hash)).toBeNull();
      expect(await store.tokens()).toHaveLength(1);
    });

    test("a login is good once, and not after its time", async () => {
      await store.putLogin("h1", "tok_1", 500);
      await store.putLogin("h2", "tok_1", 500);
      expect(await other.takeLogin("h1", 400)).toBe("tok_1");
      expect(await store.takeLogin("h1", 400)).toBeNull();
      expect(await store.takeLogin("h2", 500)).toBeNull();
    });

    test("an idempotency key is reserved for one caller, answers the same body, and refuses another", async () => {
      const ask = (from: Store, body = "b") => from.idempotency("tok_1", "POST /v1/verify", "k", sha256(body));
      const asked = await Promise.all([ask(store), ask(other)]);
      expect(new Set(asked.map((answer) => answer.status))).toEqual(new Set(["new", "running"]));
      expect(await ask(other, "else")).toEqual({ status: "other_body" });
      await store.finishIdempotency("tok_1", "POST /v1/verify", "k", 200, "{}");
      expect(await ask(other)).toEqual({ status: "done", httpStatus: 200, body: "{}" });
      expect(await store.idempotency("tok_2", "POST /v1/verify", "k", sha256("b"))).toEqual({ status: "new" });
      await store.forgetIdempotency("tok_2", "POST /v1/verify", "k");
      expect(await store.idempotency("tok_2", "POST /v1/verify", "k", sha256("b"))).toEqual({ status: "new" });
      clock += DAY_MS + 1;
      expect(await ask(store)).toEqual({ status: "new" });
    });

    test("keeps background jobs, the newest first", async () => {
      const old = sampleJob();
      const young = sampleJob({ job_id: newJobId(), created_at: 2 });
      await store.putJob(old);
      await store.putJob(young);
      await other.putJob({ ...old, state: "running", done: 3 });
      expect(await store.job(old.job_id)).toMatchObject({ state: "running", done: 3 });
      expect((await store.jobs()).map((job) => job.job_id)).toEqual([young.job_id, old.job_id]);
      expect(await store.job(newJobId())).toBeNull();
    });

    test("keeps what was stopped until it may go on, for every process and the next start", async () => {
      await Promise.all([store.halt("queue", "episode"), other.halt("queue", "episode"), store.halt("worker", "w")]);
      expect(await other.halted("queue")).toEqual(["episode"]);
      expect(await store.halted("worker")).toEqual(["w"]);
      await store.close();
      store = await space.open("worker_c");
      expect(await store.halted("queue")).toEqual(["episode"]);
      await store.letGoOn("queue", "episode");
      await store.letGoOn("queue", "episode");
      expect(await other.halted("queue")).toEqual([]);
      expect(await other.halted("worker")).toEqual(["w"]);
    });

    test("keeps every version of an imported task, and tells what came since, the last one last", async () => {
      const id = TaskId.parse("mine/a");
      const version = (text: string, of = id) => ({ id: of, version: sha256(text), archive: sha256(`tar ${text}`) });
      const [one, two, third] = [version("1"), version("2"), version("1", TaskId.parse("mine/b"))];
      expect(await store.tasksSince(0)).toEqual([]);
      for (const task of [one, two, third]) await store.putTask(task);
      const seen = await other.tasksSince(0);
      expect(seen).toEqual([one, two, third].map((task) => ({ ...task, cursor: expect.any(Number) })));
      expect(await other.taskVersion(id, one.version)).toEqual(one);
      expect(await other.taskVersion(id, sha256("3"))).toBeNull();
      const last = seen.at(-1)?.cursor ?? 0;
      expect(await store.tasksSince(last)).toEqual([]);
      await other.putTask(one);
      expect(await store.tasksSince(last)).toMatchObject([one]);
      expect((await store.tasksSince(0)).map((task) => task.version)).toEqual([two, third, one].map((t) => t.version));
    });

    test("the installation's secret is long, and the same for everybody", async () => {
      const secrets = await Promise.all([store.secret(), other.secret(), store.secret()]);
      expect(new Set(secrets).size).toBe(1);
      expect(secrets[0]?.length).toBeGreaterThanOrEqual(64);
    });

    test("closing waits for what is being written, twice is once, and nothing is taken after it", async () => {
      const id = newEpisodeId();
      const writing = store.append([note({ id, n: 0 })]);
      await Promise.all([store.close(), store.close()]);
      await writing;
      expect((await other.events(id)).events).toHaveLength(1);
      await expect(store.append([note({ id, n: 1 })])).rejects.toMatchObject({ code: "store_failed" });
      await expect(store.episode(id)).rejects.toMatchObject({ code: "store_failed" });
    });
  });
}
