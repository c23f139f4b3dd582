import { GymError } from "../../../core/errors.ts";
import type { Connection } from "./connection.ts";

/** Any number that nobody else locks in this database. */
const MIGRATION_LOCK = 7_400_001;

/**
 * The schema, one version after the other. A version that was released is never changed: the next change is a new one at
 * the end. Free text of callers is kept as JSON text, because PostgreSQL takes no NUL character in text.
 */
const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE meta (name text PRIMARY KEY, value text NOT NULL);
  CREATE SEQUENCE completions;
  CREATE TABLE episodes (
    number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    episode_id text PRIMARY KEY,
    body_digest text NOT NULL,
    owner text NOT NULL,
    run text,
    labels text[] NOT NULL,
    state text NOT NULL,
    outcome text,
    task text NOT NULL,
    framework text NOT NULL,
    split text NOT NULL,
    scripted boolean NOT NULL,
    updated_at bigint NOT NULL,
    completion bigint UNIQUE,
    revision uuid NOT NULL,
    record text NOT NULL);
  CREATE INDEX episodes_unfinished ON episodes (state, updated_at) WHERE state <> 'done';
  CREATE INDEX episodes_by_run ON episodes (run, number);
  CREATE INDEX episodes_counted ON episodes (state, outcome, run, owner);
  CREATE INDEX episodes_by_label ON episodes USING gin (labels);
  CREATE TABLE verdicts (
    number bigint GENERATED ALWAYS AS IDENTITY,
    episode_id text NOT NULL, verifier text NOT NULL, version text NOT NULL, attempt integer NOT NULL,
    writing uuid NOT NULL,
    verdict text NOT NULL,
    PRIMARY KEY (episode_id, verifier, version, attempt));
  CREATE TABLE events (
    episode_id text NOT NULL, n bigint NOT NULL, term bigint NOT NULL,
    from_n bigint,
    type text NOT NULL,
    bytes integer NOT NULL,
    event text NOT NULL,
    PRIMARY KEY (episode_id, n, term) INCLUDE (from_n, type, bytes));
  CREATE TABLE blobs (digest text PRIMARY KEY, parts integer NOT NULL);
  CREATE TABLE blob_parts (digest text NOT NULL, part integer NOT NULL, data bytea NOT NULL, PRIMARY KEY (digest, part));
  ALTER TABLE blob_parts ALTER COLUMN data SET STORAGE EXTERNAL;
  CREATE TABLE tokens (
    number bigint GENERATED ALWAYS AS IDENTITY,
    id text PRIMARY KEY, hash text NOT NULL UNIQUE, revoked_at bigint, record text NOT NULL);
  CREATE TABLE logins (hash text PRIMARY KEY, token_id text NOT NULL, expires_at bigint NOT NULL);
  CREATE TABLE idempotency (
    owner text NOT NULL, route text NOT NULL, key text NOT NULL, body_digest text NOT NULL, created_at bigint NOT NULL,
    http_status integer, body text, PRIMARY KEY (owner, route, key));
  CREATE INDEX idempotency_by_age ON idempotency (created_at);
  CREATE TABLE jobs (id text PRIMARY KEY, created_at bigint NOT NULL, record text NOT NULL);
  `,
  `
  CREATE SEQUENCE task_numbers;
  CREATE TABLE tasks (
    number bigint NOT NULL UNIQUE,
    id text NOT NULL, version text NOT NULL, archive text NOT NULL, PRIMARY KEY (id, version));
  `,
  `
  CREATE TABLE closings (episode_id text PRIMARY KEY, since bigint NOT NULL);
  CREATE INDEX closings_by_age ON closings (since);
  `,
  "CREATE INDEX episodes_open ON episodes (owner) WHERE state <> 'done';",
  "CREATE TABLE halts (kind text NOT NULL, name text NOT NULL, PRIMARY KEY (kind, name));",
  // A record is our own JSON in the order of its schema; a caller's text in it has its quotes escaped.
  `
  ALTER TABLE episodes ADD COLUMN idle_timeout_ms bigint;
  UPDATE episodes SET idle_timeout_ms = coalesce(
    1000 * substring(record from '"idle_timeout_s":([0-9.e+-]+),"wait_capacity_s":')::numeric, 86400000)
    WHERE state <> 'done';
  CREATE INDEX episodes_parked ON episodes ((updated_at + idle_timeout_ms)) WHERE state = 'parked';
  `,
  `
  ALTER TABLE episodes ADD COLUMN over_quota boolean NOT NULL DEFAULT false;
  CREATE INDEX episodes_over_quota ON episodes (owner, updated_at) WHERE over_quota;
  CREATE INDEX episodes_live ON episodes (owner) WHERE state IN ('booting', 'ready', 'running');
  `,
  `
  CREATE TABLE snapshots (digest text PRIMARY KEY, state text NOT NULL, at bigint NOT NULL);
  CREATE INDEX snapshots_dropped ON snapshots (at) WHERE state = 'dropped';
  `,
];

/** Brings the database to this build's version: one transaction, one process at a time, all or nothing. */
export async function migrate(connection: Connection): Promise<void> {
  await connection.transaction(async (run) => {
    await run({ text: "SELECT pg_advisory_xact_lock($1)", values: [MIGRATION_LOCK] });
    await run({
      text: "CREATE TABLE IF NOT EXISTS migrations (version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())",
    });
    const [row] = await run({ text: "SELECT coalesce(max(version), 0) AS version FROM migrations" });
    const version = Number(row?.version);
    if (version > MIGRATIONS.length)
      throw new GymError(
        "store_failed",
        `the database has schema ${version} and this build knows ${MIGRATIONS.length}: start the newer build here too`,
      );
    for (const [i, text] of MIGRATIONS.slice(version).entries()) {
      await run({ text });
      await run({ text: "INSERT INTO migrations (version) VALUES ($1)", values: [version + i + 1] });
    }
  });
}
