import { DatabaseSync } from "node:sqlite";
import { setTimeout as delay } from "node:timers/promises";
import { GymError, ProblemError } from "../../core/errors.ts";

/**
 * Waiting for another process's lock inside SQLite blocks the event loop, so it waits there only this long; after that the
 * write is tried again later.
 */
const BUSY_TIMEOUT_MS = 2;
const RETRY_MAX_MS = 8;
const GIVE_UP_MS = 60_000;
const SQLITE_BUSY = 5;

const SCHEMA = `
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS segments (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, sealed INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS episode_segments (
  episode_id TEXT NOT NULL, segment INTEGER NOT NULL, PRIMARY KEY (episode_id, segment)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS episodes (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  episode_id TEXT NOT NULL UNIQUE,
  body_digest TEXT NOT NULL,
  owner TEXT NOT NULL,
  run TEXT,
  state TEXT NOT NULL,
  outcome TEXT,
  task TEXT NOT NULL,
  framework TEXT NOT NULL,
  split TEXT NOT NULL,
  scripted INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  completion INTEGER UNIQUE,
  record TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS episodes_by_state ON episodes (state, updated_at);
CREATE INDEX IF NOT EXISTS episodes_parked ON episodes (updated_at + 1000 * (record ->> '$.idle_timeout_s'))
  WHERE state = 'parked';
CREATE INDEX IF NOT EXISTS episodes_live ON episodes (owner) WHERE state IN ('booting', 'ready', 'running');
CREATE INDEX IF NOT EXISTS episodes_over_quota ON episodes (owner, updated_at) WHERE record ->> '$.pending_reason' = 'quota';
CREATE INDEX IF NOT EXISTS episodes_open ON episodes (owner) WHERE state <> 'done';
CREATE INDEX IF NOT EXISTS episodes_by_run ON episodes (run, number);
CREATE INDEX IF NOT EXISTS episodes_counted ON episodes (
  state, outcome, run, owner, task, framework, split, scripted, updated_at);
CREATE TABLE IF NOT EXISTS closings (episode_id TEXT PRIMARY KEY, since INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS verdicts (
  number INTEGER PRIMARY KEY,
  episode_id TEXT NOT NULL, verifier TEXT NOT NULL, version TEXT NOT NULL, attempt INTEGER NOT NULL, verdict TEXT NOT NULL,
  UNIQUE (episode_id, verifier, version, attempt));
CREATE TABLE IF NOT EXISTS tokens (id TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS logins (hash TEXT PRIMARY KEY, token_id TEXT NOT NULL, expires_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS idempotency (
  owner TEXT NOT NULL, route TEXT NOT NULL, key TEXT NOT NULL, body_digest TEXT NOT NULL, created_at INTEGER NOT NULL,
  http_status INTEGER, body TEXT, PRIMARY KEY (owner, route, key));
CREATE INDEX IF NOT EXISTS idempotency_by_age ON idempotency (created_at);
CREATE TABLE IF NOT EXISTS tasks (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL, version TEXT NOT NULL, archive TEXT NOT NULL, UNIQUE (id, version));
CREATE TABLE IF NOT EXISTS snapshots (digest TEXT PRIMARY KEY, state TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS snapshots_dropped ON snapshots (at) WHERE state = 'dropped';
CREATE TABLE IF NOT EXISTS halts (kind TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS jobs (id TEXT PRIMARY KEY, created_at INTEGER NOT NULL, record TEXT NOT NULL);
`;

/** The SQLite file, shared by every process of the installation. */
export class Database {
  readonly sql: DatabaseSync;

  private constructor(sql: DatabaseSync) {
    this.sql = sql;
  }

  static async open(path: string): Promise<Database> {
    const sql = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
    const database = new Database(sql);
    try {
      await database.#patiently(() => {
        sql.exec("PRAGMA journal_mode = WAL");
        sql.exec("PRAGMA synchronous = NORMAL");
      });
      await database.write(() => sql.exec(SCHEMA));
    } catch (error) {
      sql.close();
      throw error;
    }
    return database;
  }

  /** Runs `work` as one transaction that excludes other processes. It may run again when the lock is another's. */
  write<T>(work: () => T): Promise<T> {
    return this.#patiently(() => {
      this.sql.exec("BEGIN IMMEDIATE");
      try {
        const result = work();
        this.sql.exec("COMMIT");
        return result;
      } catch (error) {
        if (this.sql.isTransaction) this.sql.exec("ROLLBACK");
        throw error;
      }
    });
  }

  /** Reads never wait for a writer. */
  read<T>(work: () => T): Promise<T> {
    return this.#patiently(work);
  }

  close(): void {
    if (this.sql.isOpen) this.sql.close();
  }

  async #patiently<T>(work: () => T): Promise<T> {
    const deadline = performance.now() + GIVE_UP_MS;
    for (;;) {
      try {
        return work();
      } catch (error) {
        if (error instanceof GymError || error instanceof ProblemError) throw error;
        if (!isBusy(error) || performance.now() > deadline) throw failure(error);
        await delay(1 + Math.random() * RETRY_MAX_MS);
      }
    }
  }
}

const isBusy = (error: unknown): boolean =>
  error instanceof Error &&
  "errcode" in error &&
  typeof error.errcode === "number" &&
  (error.errcode & 0xff) === SQLITE_BUSY;

function failure(error: unknown): GymError {
  const message = error instanceof Error ? error.message : String(error);
  return new GymError("store_failed", `the store's database failed: ${message}`, {
    retryable: isBusy(error),
    cause: error,
  });
}
