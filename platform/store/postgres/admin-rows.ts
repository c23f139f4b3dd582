import { randomBytes } from "node:crypto";
import { GymError } from "../../../core/errors.ts";
import type { Digest, JobId } from "../../../core/ids.ts";
import { BackgroundJob, TokenRecord } from "../../../core/records.ts";
import type { AdminStore, IdempotencyState } from "../../../core/store.ts";
import type { Connection, Row } from "./connection.ts";
import { jsonText } from "./episode-where.ts";

const DAY_MS = 86_400_000;
/** A reservation this old belongs to a call that a crash ended. */
const RESERVATION_MS = 15 * 60_000;

export interface AdminRowsOptions {
  readonly connection: Connection;
  readonly now: () => number;
}

/** Tokens, logins, idempotency keys, background jobs, what operators stopped and the installation's secret as rows. */
export function adminRows({ connection, now }: AdminRowsOptions): AdminStore {
  return {
    ...tokenRows(connection, now),
    ...idempotencyRows(connection, now),
    ...jobRows(connection),
    ...haltRows(connection),
    secret: () => installationSecret(connection),
  };
}

type TokenStore = Pick<AdminStore, "addToken" | "tokenByHash" | "tokens" | "revokeToken" | "putLogin" | "takeLogin">;

function tokenRows(connection: Connection, now: () => number): TokenStore {
  const tokenOf = (row: Row): TokenRecord => {
    const revokedAt = row.revoked_at === null ? null : Number(row.revoked_at);
    return { ...TokenRecord.parse(JSON.parse(String(row.record))), revoked_at: revokedAt };
  };
  return {
    addToken: async (token) => {
      await connection.once("INSERT INTO tokens (id, hash, revoked_at, record) VALUES ($1, $2, $3, $4)", [
        token.id,
        token.hash,
        token.revoked_at,
        JSON.stringify(token),
      ]);
    },
    tokenByHash: async (hash) => {
      const text = "SELECT record, revoked_at FROM tokens WHERE hash = $1 AND revoked_at IS NULL";
      const [row] = await connection.rows(text, [hash]);
      return row === undefined ? null : tokenOf(row);
    },
    tokens: async () =>
      (await connection.rows("SELECT record, revoked_at FROM tokens ORDER BY number")).map((row) => tokenOf(row)),
    revokeToken: async (id) => {
      if (id.includes("\u0000")) return false;
      const text = "UPDATE tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING 1 AS revoked";
      return (await connection.once(text, [id, now()])).length > 0;
    },
    putLogin: async (hash, tokenId, expiresAt) => {
      await connection.rows("DELETE FROM logins WHERE expires_at < $1", [now() - DAY_MS]);
      await connection.rows(
        `INSERT INTO logins (hash, token_id, expires_at) VALUES ($1, $2, $3)
         ON CONFLICT (hash) DO UPDATE SET token_id = excluded.token_id, expires_at = excluded.expires_at`,
        [hash, tokenId, expiresAt],
      );
    },
    takeLogin: async (hash, at) => {
      const text = "DELETE FROM logins WHERE hash = $1 RETURNING token_id, expires_at";
      const [row] = await connection.once(text, [hash]);
      return row === undefined || Number(row.expires_at) <= at ? null : String(row.token_id);
    },
  };
}

type IdempotencyStore = Pick<AdminStore, "idempotency" | "finishIdempotency" | "forgetIdempotency">;

function idempotencyRows(connection: Connection, now: () => number): IdempotencyStore {
  const key = "owner = $1 AND route = $2 AND key = $3";
  return {
    idempotency: async (owner, route, name, bodyDigest: Digest): Promise<IdempotencyState> => {
      await connection.rows(
        "DELETE FROM idempotency WHERE created_at <= $1 OR (http_status IS NULL AND created_at <= $2)",
        [now() - DAY_MS, now() - RESERVATION_MS],
      );
      const id = [owner, route, jsonText(name)];
      const reserved = await connection.once(
        `INSERT INTO idempotency (owner, route, key, body_digest, created_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT DO NOTHING RETURNING 1 AS reserved`,
        [...id, bodyDigest, now()],
      );
      if (reserved.length > 0) return { status: "new" };
      const [row] = await connection.rows(`SELECT body_digest, http_status, body FROM idempotency WHERE ${key}`, id);
      // Forgotten between the two statements: whoever had it is at it still, or the caller asks again.
      if (row === undefined) return { status: "running" };
      if (row.body_digest !== bodyDigest) return { status: "other_body" };
      if (row.http_status === null) return { status: "running" };
      return { status: "done", httpStatus: Number(row.http_status), body: String(row.body) };
    },
    finishIdempotency: async (owner, route, name, httpStatus, body) => {
      await connection.rows(`UPDATE idempotency SET http_status = $4, body = $5 WHERE ${key}`, [
        owner,
        route,
        jsonText(name),
        httpStatus,
        body,
      ]);
    },
    forgetIdempotency: async (owner, route, name) => {
      await connection.rows(`DELETE FROM idempotency WHERE ${key}`, [owner, route, jsonText(name)]);
    },
  };
}

function jobRows(connection: Connection): Pick<AdminStore, "putJob" | "job" | "jobs"> {
  const jobOf = (row: Row) => BackgroundJob.parse(JSON.parse(String(row.record)));
  return {
    putJob: async (job) => {
      await connection.rows(
        `INSERT INTO jobs (id, created_at, record) VALUES ($1, $2, $3)
         ON CONFLICT (id) DO UPDATE SET created_at = excluded.created_at, record = excluded.record`,
        [job.job_id, job.created_at, JSON.stringify(job)],
      );
    },
    job: async (id: JobId) => {
      const [row] = await connection.rows("SELECT record FROM jobs WHERE id = $1", [id]);
      return row === undefined ? null : jobOf(row);
    },
    jobs: async () =>
      (await connection.rows("SELECT record FROM jobs ORDER BY created_at DESC, id DESC LIMIT 1000")).map(jobOf),
  };
}

function haltRows(connection: Connection): Pick<AdminStore, "halt" | "letGoOn" | "halted"> {
  return {
    halt: async (kind, name) => {
      await connection.rows("INSERT INTO halts (kind, name) VALUES ($1, $2) ON CONFLICT DO NOTHING", [kind, name]);
    },
    letGoOn: async (kind, name) => {
      await connection.rows("DELETE FROM halts WHERE kind = $1 AND name = $2", [kind, name]);
    },
    halted: async (kind) =>
      (await connection.rows("SELECT name FROM halts WHERE kind = $1 ORDER BY name", [kind])).map((row) =>
        String(row.name),
      ),
  };
}

/** 256 bits in hex; the first process to come makes it. */
async function installationSecret(connection: Connection): Promise<string> {
  await connection.rows("INSERT INTO meta (name, value) VALUES ('secret', $1) ON CONFLICT DO NOTHING", [
    randomBytes(32).toString("hex"),
  ]);
  const [row] = await connection.rows("SELECT value FROM meta WHERE name = 'secret'");
  if (row === undefined) throw new GymError("store_failed", "the installation's secret is missing in the database");
  return String(row.value);
}
