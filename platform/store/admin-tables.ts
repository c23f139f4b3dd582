import type { Digest, JobId } from "../../core/ids.ts";
import { BackgroundJob, TokenRecord } from "../../core/records.ts";
import type { AdminStore, IdempotencyState } from "../../core/store.ts";
import type { Database } from "./database.ts";

const DAY_MS = 86_400_000;
/** A reservation this old belongs to a call that a crash ended. */
const RESERVATION_MS = 15 * 60_000;

export interface AdminTablesOptions {
  readonly database: Database;
  readonly secret: () => Promise<string>;
  readonly now: () => number;
}

/** Tokens, logins, idempotency keys, background jobs and what operators stopped, in SQLite. They are not in the segments. */
export function adminTables({ database, secret, now }: AdminTablesOptions): AdminStore {
  return {
    ...tokenTables(database, now),
    ...idempotencyTable(database, now),
    ...jobTable(database),
    ...haltTable(database),
    secret,
  };
}

type TokenStore = Pick<AdminStore, "addToken" | "tokenByHash" | "tokens" | "revokeToken" | "putLogin" | "takeLogin">;

function tokenTables(database: Database, now: () => number): TokenStore {
  const { sql } = database;
  const insert = sql.prepare("INSERT INTO tokens (id, hash, record) VALUES (?, ?, ?)");
  const byHash = sql.prepare("SELECT record FROM tokens WHERE hash = ?");
  const byId = sql.prepare("SELECT record FROM tokens WHERE id = ?");
  const all = sql.prepare("SELECT record FROM tokens ORDER BY rowid");
  const replace = sql.prepare("UPDATE tokens SET record = ? WHERE id = ?");
  const parse = (row: Record<string, unknown>) => TokenRecord.parse(JSON.parse(String(row.record)));
  return {
    addToken: (token) => database.write(() => void insert.run(token.id, token.hash, JSON.stringify(token))),
    tokenByHash: (hash) =>
      database.read(() => {
        const row = byHash.get(hash);
        const token = row === undefined ? null : parse(row);
        return token?.revoked_at === null ? token : null;
      }),
    tokens: () => database.read(() => all.all().map(parse)),
    revokeToken: (id) =>
      database.write(() => {
        const row = byId.get(id);
        const token = row === undefined ? null : parse(row);
        if (token === null || token.revoked_at !== null) return false;
        replace.run(JSON.stringify({ ...token, revoked_at: now() }), id);
        return true;
      }),
    putLogin: (hash, tokenId, expiresAt) =>
      database.write(() => {
        sql.prepare("DELETE FROM logins WHERE expires_at < ?").run(now() - DAY_MS);
        sql
          .prepare("INSERT OR REPLACE INTO logins (hash, token_id, expires_at) VALUES (?, ?, ?)")
          .run(hash, tokenId, expiresAt);
      }),
    takeLogin: (hash, at) =>
      database.write(() => {
        const row = sql.prepare("DELETE FROM logins WHERE hash = ? RETURNING token_id, expires_at").get(hash);
        return row === undefined || Number(row.expires_at) <= at ? null : String(row.token_id);
      }),
  };
}

type IdempotencyStore = Pick<AdminStore, "idempotency" | "finishIdempotency" | "forgetIdempotency">;

function idempotencyTable(database: Database, now: () => number): IdempotencyStore {
  const { sql } = database;
  const key = "owner = ? AND route = ? AND key = ?";
  const purge = sql.prepare(
    "DELETE FROM idempotency WHERE created_at <= ? OR (http_status IS NULL AND created_at <= ?)",
  );
  const select = sql.prepare(`SELECT body_digest, http_status, body FROM idempotency WHERE ${key}`);
  const insert = sql.prepare(
    "INSERT INTO idempotency (owner, route, key, body_digest, created_at) VALUES (?, ?, ?, ?, ?)",
  );
  const finish = sql.prepare(`UPDATE idempotency SET http_status = ?, body = ? WHERE ${key}`);
  const forget = sql.prepare(`DELETE FROM idempotency WHERE ${key}`);
  return {
    idempotency: (owner, route, name, bodyDigest: Digest) =>
      database.write((): IdempotencyState => {
        purge.run(now() - DAY_MS, now() - RESERVATION_MS);
        const row = select.get(owner, route, name);
        if (row === undefined) {
          insert.run(owner, route, name, bodyDigest, now());
          return { status: "new" };
        }
        if (row.body_digest !== bodyDigest) return { status: "other_body" };
        if (row.http_status === null) return { status: "running" };
        return { status: "done", httpStatus: Number(row.http_status), body: String(row.body) };
      }),
    finishIdempotency: (owner, route, name, httpStatus, body) =>
      database.write(() => void finish.run(httpStatus, body, owner, route, name)),
    forgetIdempotency: (owner, route, name) => database.write(() => void forget.run(owner, route, name)),
  };
}

function jobTable(database: Database): Pick<AdminStore, "putJob" | "job" | "jobs"> {
  const { sql } = database;
  const put = sql.prepare("INSERT OR REPLACE INTO jobs (id, created_at, record) VALUES (?, ?, ?)");
  const one = sql.prepare("SELECT record FROM jobs WHERE id = ?");
  const all = sql.prepare("SELECT record FROM jobs ORDER BY created_at DESC, id DESC LIMIT 1000");
  const parse = (row: Record<string, unknown>) => BackgroundJob.parse(JSON.parse(String(row.record)));
  return {
    putJob: (job) => database.write(() => void put.run(job.job_id, job.created_at, JSON.stringify(job))),
    job: (id: JobId) =>
      database.read(() => {
        const row = one.get(id);
        return row === undefined ? null : parse(row);
      }),
    jobs: () => database.read(() => all.all().map(parse)),
  };
}

function haltTable(database: Database): Pick<AdminStore, "halt" | "letGoOn" | "halted"> {
  const { sql } = database;
  const insert = sql.prepare("INSERT OR IGNORE INTO halts (kind, name) VALUES (?, ?)");
  const remove = sql.prepare("DELETE FROM halts WHERE kind = ? AND name = ?");
  const all = sql.prepare("SELECT name FROM halts WHERE kind = ? ORDER BY name");
  return {
    halt: (kind, name) => database.write(() => void insert.run(kind, name)),
    letGoOn: (kind, name) => database.write(() => void remove.run(kind, name)),
    halted: (kind) => database.read(() => all.all(kind).map((row) => String(row.name))),
  };
}
