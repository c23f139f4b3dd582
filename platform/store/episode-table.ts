import type { SQLInputValue, StatementSync } from "node:sqlite";
import { type EpisodeRecord, EpisodeRecord as EpisodeRecordSchema, type EpisodeState } from "../../core/episode.ts";
import type { Digest, EpisodeId } from "../../core/ids.ts";
import type {
  EpisodeCounts,
  EpisodeFilter,
  EpisodePage,
  EpisodePatch,
  EpisodeStore,
  RecordGuard,
} from "../../core/store.ts";
import { Verdict } from "../../core/verifier.ts";
import type { Database } from "./database.ts";
import { countsOf, runsOf } from "./episode-counts.ts";
import { cursorNumber, MOST_UNCLOSED, pageLimit, whereOf } from "./episode-query.ts";
import { checkQuota, checkShare, MOST_OVER_QUOTA } from "./quota.ts";

type Row = Record<string, unknown>;

const recordOf = (row: Row): EpisodeRecord => EpisodeRecordSchema.parse(JSON.parse(String(row.record)));

export interface EpisodeTableOptions {
  readonly database: Database;
  /** Keeps a copy of the record in the segments; resolves when it is durable. */
  readonly keepCopy: (record: EpisodeRecord, bodyDigest: Digest) => Promise<void>;
  readonly now: () => number;
}

/** Episode records and verdicts in SQLite. */
export class EpisodeTable implements EpisodeStore {
  readonly #database: Database;
  readonly #keepCopy: EpisodeTableOptions["keepCopy"];
  readonly #now: () => number;
  readonly #select: StatementSync;
  readonly #insert: StatementSync;
  readonly #replace: StatementSync;
  readonly #remove: StatementSync;
  readonly #owesEnd: StatementSync;
  readonly #open: StatementSync;
  readonly #live: StatementSync;

  constructor({ database, keepCopy, now }: EpisodeTableOptions) {
    this.#database = database;
    this.#keepCopy = keepCopy;
    this.#now = now;
    const { sql } = database;
    this.#select = sql.prepare("SELECT record, body_digest FROM episodes WHERE episode_id = ?");
    this.#insert = sql.prepare(
      `INSERT INTO episodes (episode_id, body_digest, owner, run, state, outcome, task, framework, split, scripted, updated_at, completion, record)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, CASE WHEN ? THEN (SELECT coalesce(max(completion), 0) + 1 FROM episodes) END, ?)`,
    );
    this.#replace = sql.prepare(
      `UPDATE episodes SET run = ?, state = ?, outcome = ?, updated_at = ?, record = ?,
       completion = CASE WHEN ? THEN coalesce(completion, (SELECT coalesce(max(completion), 0) + 1 FROM episodes)) END
       WHERE episode_id = ?`,
    );
    this.#owesEnd = sql.prepare("INSERT OR IGNORE INTO closings (episode_id, since) VALUES (?, ?)");
    this.#open = sql.prepare("SELECT count(*) AS open FROM episodes WHERE owner = ? AND state <> 'done'");
    this.#live = sql.prepare(
      "SELECT count(*) AS live FROM episodes WHERE owner = ? AND state IN ('booting', 'ready', 'running') AND episode_id <> ?",
    );
    this.#remove = sql.prepare("DELETE FROM episodes WHERE episode_id = ? AND state = 'queued'");
  }

  async createEpisode(record: EpisodeRecord, bodyDigest: Digest, maxOpen = Number.POSITIVE_INFINITY) {
    const taken = await this.#database.write(() => {
      const row = this.#select.get(record.episode_id);
      if (row !== undefined) return row;
      checkQuota(Number(this.#open.get(record.owner)?.open), maxOpen);
      this.insert(record, bodyDigest);
      return undefined;
    });
    if (taken !== undefined)
      return { created: false, record: recordOf(taken), sameBody: taken.body_digest === bodyDigest };
    try {
      await this.#keepCopy(record, bodyDigest);
    } catch (error) {
      await this.#database.write(() => this.#remove.run(record.episode_id));
      throw error;
    }
    return { created: true, record, sameBody: true };
  }

  /** Inside a transaction. */
  insert(record: EpisodeRecord, bodyDigest: string): void {
    const { environment: env } = record;
    this.#insert.run(
      record.episode_id,
      bodyDigest,
      record.owner,
      record.run,
      record.state,
      record.outcome,
      env.task_id,
      env.framework,
      env.split,
      record.script === null ? 0 : 1,
      record.updated_at,
      record.state === "done" ? 1 : 0,
      JSON.stringify(record),
    );
    this.#noteEnd(record);
  }

  /** Inside a transaction. */
  replace(record: EpisodeRecord): void {
    const done = record.state === "done" ? 1 : 0;
    this.#replace.run(
      record.run,
      record.state,
      record.outcome,
      record.updated_at,
      JSON.stringify(record),
      done,
      record.episode_id,
    );
    this.#noteEnd(record);
  }

  #noteEnd(record: EpisodeRecord): void {
    if (record.state === "done") this.#owesEnd.run(record.episode_id, this.#now());
  }

  /** Inside a transaction, or alone. */
  find(id: EpisodeId): EpisodeRecord | null {
    const row = this.#select.get(id);
    return row === undefined ? null : recordOf(row);
  }

  async episode(id: EpisodeId): Promise<EpisodeRecord | null> {
    return this.#database.read(() => this.find(id));
  }

  async episodes(
    filter: EpisodeFilter,
    page: { after?: string | undefined; limit?: number | undefined },
  ): Promise<EpisodePage> {
    const where = whereOf(filter);
    const limit = pageLimit(page.limit);
    const after = cursorNumber(page.after);
    const rows = await this.#rows(
      `SELECT number, record FROM episodes WHERE ${where.text} AND number < ? ORDER BY number DESC LIMIT ?`,
      [...where.values, after ?? Number.MAX_SAFE_INTEGER, limit + 1],
    );
    const shown = rows.slice(0, limit);
    return { items: shown.map(recordOf), next: rows.length > limit ? String(shown.at(-1)?.number) : null };
  }

  async completions(filter: EpisodeFilter, page: { after?: string | undefined; limit?: number | undefined }) {
    const where = whereOf(filter);
    const limit = pageLimit(page.limit);
    const rows = await this.#rows(
      `SELECT completion, record FROM episodes WHERE ${where.text} AND completion > ? ORDER BY completion LIMIT ?`,
      [...where.values, cursorNumber(page.after) ?? 0, limit + 1],
    );
    const shown = rows.slice(0, limit);
    const cursors = shown.map((row) => String(row.completion));
    return { items: shown.map(recordOf), cursors, next: rows.length > limit ? (cursors.at(-1) ?? null) : null };
  }

  async counts(filter: EpisodeFilter): Promise<EpisodeCounts> {
    const where = whereOf(filter);
    return countsOf(
      await this.#rows(
        `SELECT state, outcome, count(*) AS n FROM episodes WHERE ${where.text} GROUP BY state, outcome`,
        where.values,
      ),
    );
  }

  async runs(filter: EpisodeFilter) {
    const where = whereOf(filter);
    const rows = await this.#rows(
      `SELECT run, state, outcome, count(*) AS n, max(updated_at) AS last_at FROM episodes
       WHERE ${where.text} AND run IS NOT NULL GROUP BY run, state, outcome`,
      where.values,
    );
    return runsOf(rows);
  }

  async unfinished(
    states: readonly EpisodeState[],
    olderThanMs: number,
    only?: { readonly scripted: true },
  ): Promise<EpisodeRecord[]> {
    if (states.length === 0) return [];
    const marks = states.map(() => "?").join(", ");
    const scripted = only === undefined ? "" : "AND scripted = 1";
    const rows = await this.#rows(
      `SELECT record FROM episodes WHERE state IN (${marks}) AND updated_at <= ? ${scripted} ORDER BY updated_at`,
      [...states, this.#now() - olderThanMs],
    );
    return rows.map(recordOf);
  }

  async abandoned(): Promise<EpisodeRecord[]> {
    const rows = await this.#rows(
      `SELECT record FROM episodes INDEXED BY episodes_parked
       WHERE state = 'parked' AND updated_at + 1000 * (record ->> '$.idle_timeout_s') < ?`,
      [this.#now()],
    );
    return rows.map(recordOf);
  }

  async unclosed(olderThanMs: number): Promise<EpisodeRecord[]> {
    const rows = await this.#rows(
      `SELECT e.record FROM closings AS c JOIN episodes AS e ON e.episode_id = c.episode_id
       WHERE c.since <= ? ORDER BY c.since LIMIT ?`,
      [this.#now() - olderThanMs, MOST_UNCLOSED],
    );
    return rows.map(recordOf);
  }

  async closeLogs(ids: readonly EpisodeId[]): Promise<void> {
    if (ids.length === 0) return;
    const marks = ids.map(() => "?").join(", ");
    await this.#database.write(() =>
      this.#database.sql.prepare(`DELETE FROM closings WHERE episode_id IN (${marks})`).run(...ids),
    );
  }

  async overQuota(owner?: string, limit = MOST_OVER_QUOTA): Promise<EpisodeRecord[]> {
    const rows = await this.#rows(
      `SELECT record FROM episodes INDEXED BY episodes_over_quota
       WHERE record ->> '$.pending_reason' = 'quota' ${owner === undefined ? "" : "AND owner = ?"} ORDER BY updated_at LIMIT ?`,
      [...(owner === undefined ? [] : [owner]), limit],
    );
    return rows.map(recordOf);
  }

  async grantTerm(id: EpisodeId, worker: string, expected: number, maxLive = Number.POSITIVE_INFINITY) {
    return this.#database.write(() => {
      const record = this.find(id);
      if (record === null || record.term !== expected) return null;
      if (record.state === "verifying" || record.state === "done") return null;
      if (Number.isFinite(maxLive)) checkShare(Number(this.#live.get(record.owner, id)?.live), maxLive);
      const granted: EpisodeRecord = {
        ...record,
        worker,
        term: expected + 1,
        state: "booting",
        pending_reason: null,
        updated_at: this.#now(),
      };
      this.replace(granted);
      return granted;
    });
  }

  async update(id: EpisodeId, guard: RecordGuard, patch: EpisodePatch): Promise<EpisodeRecord | null> {
    const updated = await this.#database.write(() => {
      const row = this.#select.get(id);
      if (row === undefined) return null;
      const record = recordOf(row);
      const allowed = guard.states === undefined ? record.state !== "done" : guard.states.includes(record.state);
      const owned = guard.worker === undefined || record.worker === guard.worker;
      if (record.term !== guard.term || !allowed || !owned) return null;
      const next: EpisodeRecord = { ...record, ...patch, updated_at: this.#now() };
      this.replace(next);
      return { record: next, ended: next.state === "done" && record.state !== "done", digest: String(row.body_digest) };
    });
    if (updated === null) return null;
    if (updated.ended) await this.#keepCopy(updated.record, updated.digest);
    return updated.record;
  }

  async addVerdict(id: EpisodeId, verdict: Verdict): Promise<boolean> {
    return this.#database.write(() => this.insertVerdict(id, verdict));
  }

  /** Inside a transaction. */
  insertVerdict(id: EpisodeId, verdict: Verdict): boolean {
    const { changes } = this.#database.sql
      .prepare(
        "INSERT OR IGNORE INTO verdicts (episode_id, verifier, version, attempt, verdict) VALUES (?, ?, ?, ?, ?)",
      )
      .run(id, verdict.verifier, verdict.version, verdict.attempt, JSON.stringify(verdict));
    return Number(changes) === 1;
  }

  async verdicts(id: EpisodeId): Promise<Verdict[]> {
    const rows = await this.#rows("SELECT verdict FROM verdicts WHERE episode_id = ? ORDER BY number", [id]);
    return rows.map((row) => Verdict.parse(JSON.parse(String(row.verdict))));
  }

  #rows(text: string, values: readonly SQLInputValue[]): Promise<Row[]> {
    return this.#database.read(() => this.#database.sql.prepare(text).all(...values));
  }
}
