import { randomUUID } from "node:crypto";
import { type EpisodeRecord, EpisodeRecord as EpisodeRecordSchema, type EpisodeState } from "../../../core/episode.ts";
import { GymError } from "../../../core/errors.ts";
import type { Digest, EpisodeId } from "../../../core/ids.ts";
import type { EpisodeFilter, EpisodePage, EpisodePatch, EpisodeStore, RecordGuard } from "../../../core/store.ts";
import { Verdict } from "../../../core/verifier.ts";
import { countsOf, runsOf } from "../episode-counts.ts";
import { cursorNumber, MOST_UNCLOSED, pageLimit } from "../episode-query.ts";
import { checkQuota, checkShare, MOST_OVER_QUOTA } from "../quota.ts";
import type { Connection, Row, Statement } from "./connection.ts";
import { jsonText, labelText, whereOf } from "./episode-where.ts";

/** Followers of the completions must see them in order, so endings are numbered one at a time, until their commit. */
const COMPLETION_LOCK = 7_400_002;
/** First half of the lock's key; the second is the owner. */
const QUOTA_LOCK = 7_400_003;
const SHARE_LOCK = 7_400_004;
/** Somebody else changed the record between our look and our write. */
const MAX_ROUNDS = 50;

const SELECT = "SELECT record, body_digest, revision FROM episodes WHERE episode_id = $1";

const COUNT_OPEN = `
  SELECT (SELECT count(*) FROM episodes WHERE owner = $1 AND state <> 'done') AS open,
         EXISTS (SELECT 1 FROM episodes WHERE episode_id = $2) AS taken`;

const COUNT_LIVE = `
  SELECT count(*) AS live FROM episodes
  WHERE owner = $1 AND state IN ('booting', 'ready', 'running') AND episode_id <> $2`;

const columns =
  "episode_id, body_digest, owner, run, labels, state, outcome, task, framework, split, scripted, updated_at, revision, record, idle_timeout_ms";
const INSERT = `
  INSERT INTO episodes (${columns}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
  ON CONFLICT (episode_id) DO NOTHING RETURNING 1 AS made`;
const INSERT_DONE = `
  WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock(${COMPLETION_LOCK}))
  INSERT INTO episodes (${columns}, completion)
  SELECT $1, $2, $3, $4, $5::text[], $6, $7, $8, $9, $10, $11::boolean, $12::bigint, $13::uuid, $14, $15::bigint, nextval('completions') FROM turn
  ON CONFLICT (episode_id) DO NOTHING RETURNING 1 AS made`;

const changes =
  "run = $3, labels = $4, state = $5, outcome = $6, updated_at = $7, record = $8, revision = $9, over_quota = $10";
const REPLACE = `
  UPDATE episodes SET ${changes} WHERE episode_id = $1 AND revision = $2 RETURNING 1 AS changed`;
const REPLACE_DONE = `
  WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock(${COMPLETION_LOCK}))
  , done AS (
    UPDATE episodes SET ${changes}, completion = coalesce(completion, nextval('completions'))
    FROM turn WHERE episode_id = $1 AND revision = $2 RETURNING episode_id, updated_at)
  , noted AS (
    INSERT INTO closings (episode_id, since) SELECT episode_id, updated_at FROM done ON CONFLICT DO NOTHING)
  SELECT 1 AS changed FROM done`;

const recordOf = (row: Row): EpisodeRecord => EpisodeRecordSchema.parse(JSON.parse(String(row.record)));

/**
 * Episode records and verdicts as rows. Every write gives the row a fresh revision and names the one it was made from: a
 * compare-and-set without a transaction, and a write whose answer was lost is recognised when it is tried again.
 */
export class EpisodeRows implements EpisodeStore {
  readonly #connection: Connection;
  readonly #now: () => number;
  #counting: Promise<unknown> = Promise.resolve();

  constructor(connection: Connection, now: () => number) {
    this.#connection = connection;
    this.#now = now;
  }

  async createEpisode(record: EpisodeRecord, bodyDigest: Digest, maxOpen = Number.POSITIVE_INFINITY) {
    const revision = randomUUID();
    const { environment: env } = record;
    const values: unknown[] = [record.episode_id, bodyDigest, record.owner, runColumn(record), labelsColumn(record)];
    values.push(record.state, record.outcome, env.task_id, env.framework, env.split, record.script !== null);
    values.push(record.updated_at, revision, JSON.stringify(record), Math.round(record.idle_timeout_s * 1_000));
    const insert = { text: record.state === "done" ? INSERT_DONE : INSERT, values };
    const made = Number.isFinite(maxOpen)
      ? await this.#insertWithin(record, insert, maxOpen)
      : await this.#connection.rows(insert.text, insert.values);
    if (made.length > 0) return { created: true, record, sameBody: true };
    const [taken] = await this.#connection.rows(SELECT, [record.episode_id]);
    if (taken === undefined) throw new GymError("store_failed", `the record of ${record.episode_id} is gone`);
    return {
      created: taken.revision === revision,
      record: recordOf(taken),
      sameBody: taken.body_digest === bodyDigest,
    };
  }

  /** Creations of one owner come one after the other, so that each counts those before it. */
  #insertWithin({ owner, episode_id }: EpisodeRecord, insert: Statement, maxOpen: number): Promise<Row[]> {
    const work = async (run: (statement: Statement) => Promise<Row[]>): Promise<Row[]> => {
      await run({ text: "SELECT pg_advisory_xact_lock($1, hashtext($2))", values: [QUOTA_LOCK, owner] });
      const [counted] = await run({ text: COUNT_OPEN, values: [owner, episode_id] });
      if (counted?.taken === true) return [];
      checkQuota(Number(counted?.open), maxOpen);
      return run(insert);
    };
    return this.#inTurn(work);
  }

  /** One at a time here too: those that wait for a lock would hold every connection of this process. */
  #inTurn<T>(work: (run: (statement: Statement) => Promise<Row[]>) => Promise<T>): Promise<T> {
    const done = this.#counting.then(() => this.#connection.transaction(work));
    this.#counting = done.catch(() => undefined);
    return done;
  }

  async episode(id: EpisodeId): Promise<EpisodeRecord | null> {
    const [row] = await this.#connection.rows(SELECT, [id]);
    return row === undefined ? null : recordOf(row);
  }

  async episodes(filter: EpisodeFilter, page: { after?: string | undefined; limit?: number | undefined }) {
    const limit = pageLimit(page.limit);
    const where = whereOf(filter);
    const after = cursorNumber(page.after);
    const rows = await this.#connection.adHocRows({
      text: `SELECT number, record FROM episodes WHERE ${where.text} ${after === null ? "" : `AND number < ${after}`}
             ORDER BY number DESC LIMIT ${limit + 1}`,
      values: where.values,
    });
    const shown = rows.slice(0, limit);
    return { items: shown.map(recordOf), next: rows.length > limit ? String(shown.at(-1)?.number) : null };
  }

  async completions(
    filter: EpisodeFilter,
    page: { after?: string | undefined; limit?: number | undefined },
  ): Promise<EpisodePage & { cursors: readonly string[] }> {
    const limit = pageLimit(page.limit);
    const where = whereOf(filter);
    const rows = await this.#connection.adHocRows({
      text: `SELECT completion, record FROM episodes WHERE ${where.text} AND completion > ${cursorNumber(page.after) ?? 0}
             ORDER BY completion LIMIT ${limit + 1}`,
      values: where.values,
    });
    const shown = rows.slice(0, limit);
    const cursors = shown.map((row) => String(row.completion));
    return { items: shown.map(recordOf), cursors, next: rows.length > limit ? (cursors.at(-1) ?? null) : null };
  }

  async counts(filter: EpisodeFilter) {
    const { text, values } = whereOf(filter);
    return countsOf(
      await this.#connection.adHocRows({
        text: `SELECT state, outcome, count(*) AS n FROM episodes WHERE ${text} GROUP BY state, outcome`,
        values,
      }),
    );
  }

  async runs(filter: EpisodeFilter) {
    const { text, values } = whereOf(filter);
    const rows = await this.#connection.adHocRows({
      text: `SELECT run, state, outcome, count(*) AS n, max(updated_at) AS last_at FROM episodes
             WHERE ${text} AND run IS NOT NULL GROUP BY run, state, outcome`,
      values,
    });
    return runsOf(rows.map((row) => ({ ...row, run: JSON.parse(String(row.run)) })));
  }

  async unfinished(
    states: readonly EpisodeState[],
    olderThanMs: number,
    only?: { readonly scripted: true },
  ): Promise<EpisodeRecord[]> {
    if (states.length === 0) return [];
    const rows = await this.#connection.rows(
      `SELECT record FROM episodes WHERE state = ANY($1::text[]) AND updated_at <= $2 AND (scripted OR NOT $3::boolean)
       ORDER BY updated_at`,
      [states, this.#now() - olderThanMs, only !== undefined],
    );
    return rows.map(recordOf);
  }

  async abandoned(): Promise<EpisodeRecord[]> {
    const text = "SELECT record FROM episodes WHERE state = 'parked' AND updated_at + idle_timeout_ms < $1";
    return (await this.#connection.rows(text, [this.#now()])).map(recordOf);
  }

  async unclosed(olderThanMs: number): Promise<EpisodeRecord[]> {
    const rows = await this.#connection.rows(
      `SELECT e.record FROM closings AS c JOIN episodes AS e ON e.episode_id = c.episode_id
       WHERE c.since <= $1 ORDER BY c.since LIMIT ${MOST_UNCLOSED}`,
      [this.#now() - olderThanMs],
    );
    return rows.map(recordOf);
  }

  async closeLogs(ids: readonly EpisodeId[]): Promise<void> {
    if (ids.length > 0) await this.#connection.rows("DELETE FROM closings WHERE episode_id = ANY($1::text[])", [ids]);
  }

  async overQuota(owner?: string, limit = MOST_OVER_QUOTA): Promise<EpisodeRecord[]> {
    const rows = await this.#connection.rows(
      `SELECT record FROM episodes WHERE over_quota AND ($1::text IS NULL OR owner = $1) ORDER BY updated_at LIMIT $2`,
      [owner ?? null, limit],
    );
    return rows.map(recordOf);
  }

  async grantTerm(id: EpisodeId, worker: string, expected: number, maxLive = Number.POSITIVE_INFINITY) {
    const grant = (record: EpisodeRecord) => {
      if (record.term !== expected || record.state === "verifying" || record.state === "done") return null;
      return { ...record, worker, term: expected + 1, state: "booting" as const, pending_reason: null };
    };
    if (!Number.isFinite(maxLive)) return this.#change(id, grant);
    const owner = (await this.episode(id))?.owner;
    if (owner === undefined) return null;
    // A refusal is thrown outside: a transaction that throws costs its connection.
    const { granted, over } = await this.#inTurn(async (run) => {
      await run({ text: "SELECT pg_advisory_xact_lock($1, hashtext($2))", values: [SHARE_LOCK, owner] });
      const [counted] = await run({ text: COUNT_LIVE, values: [owner, id] });
      const live = Number(counted?.live);
      let refused = false;
      const within = (record: EpisodeRecord) => {
        const wanted = grant(record);
        refused = wanted !== null && live >= maxLive;
        return refused ? null : wanted;
      };
      const record = await this.#change(id, within, (text, values = []) => run({ text, values }));
      return { granted: record, over: refused ? live : null };
    });
    if (over !== null) checkShare(over, maxLive);
    return granted;
  }

  update(id: EpisodeId, guard: RecordGuard, patch: EpisodePatch): Promise<EpisodeRecord | null> {
    return this.#change(id, (record) => {
      const allowed = guard.states === undefined ? record.state !== "done" : guard.states.includes(record.state);
      const owned = guard.worker === undefined || record.worker === guard.worker;
      return record.term === guard.term && allowed && owned ? { ...record, ...patch } : null;
    });
  }

  async addVerdict(id: EpisodeId, verdict: Verdict): Promise<boolean> {
    const writing = randomUUID();
    const key = [id, verdict.verifier, verdict.version, verdict.attempt];
    const made = await this.#connection.rows(
      `INSERT INTO verdicts (episode_id, verifier, version, attempt, writing, verdict) VALUES ($1, $2, $3, $4, $5, $6)
       ON CONFLICT DO NOTHING RETURNING 1 AS made`,
      [...key, writing, JSON.stringify(verdict)],
    );
    if (made.length > 0) return true;
    const [there] = await this.#connection.rows(
      "SELECT writing FROM verdicts WHERE episode_id = $1 AND verifier = $2 AND version = $3 AND attempt = $4",
      key,
    );
    return there?.writing === writing;
  }

  async verdicts(id: EpisodeId): Promise<Verdict[]> {
    const rows = await this.#connection.rows("SELECT verdict FROM verdicts WHERE episode_id = $1 ORDER BY number", [
      id,
    ]);
    return rows.map((row) => Verdict.parse(JSON.parse(String(row.verdict))));
  }

  /** Writes what `decide` makes of the record, if nobody changed it meanwhile; else decides anew. Null: `decide` refused. */
  async #change(
    id: EpisodeId,
    decide: (record: EpisodeRecord) => Omit<EpisodeRecord, "updated_at"> | null,
    rows: Connection["rows"] = (text, values) => this.#connection.rows(text, values),
  ): Promise<EpisodeRecord | null> {
    let written: { revision: string; record: EpisodeRecord } | null = null;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const [row] = await rows(SELECT, [id]);
      if (row === undefined) return null;
      // The write went through although its answer was lost.
      if (row.revision === written?.revision) return written?.record ?? null;
      const decided = decide(recordOf(row));
      if (decided === null) return null;
      const record = { ...decided, updated_at: this.#now() };
      written = { revision: randomUUID(), record };
      const values: unknown[] = [
        id,
        row.revision,
        runColumn(record),
        labelsColumn(record),
        record.state,
        record.outcome,
      ];
      const overQuota = record.pending_reason === "quota";
      values.push(record.updated_at, JSON.stringify(record), written.revision, overQuota);
      const changed = await rows(record.state === "done" ? REPLACE_DONE : REPLACE, values);
      if (changed.length > 0) return record;
    }
    throw new GymError("store_failed", `the record of ${id} was changed by others ${MAX_ROUNDS} times in a row`, {
      retryable: true,
    });
  }
}

const runColumn = (record: EpisodeRecord): string | null => (record.run === null ? null : jsonText(record.run));

const labelsColumn = (record: EpisodeRecord): string[] =>
  Object.entries(record.labels).map(([name, value]) => labelText(name, value));
