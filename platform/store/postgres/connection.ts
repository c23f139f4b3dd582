import { setTimeout as delay } from "node:timers/promises";
import { Pool, type PoolClient } from "pg";
import { GymError, ProblemError } from "../../../core/errors.ts";
import type { Logger } from "../../log.ts";

/** Connections of one process: its calls are short, and many processes share the server's hundred. */
const CONNECTIONS = 6;
const CONNECT_MS = 5_000;
/** The server stops a statement; the client gives up on one whose server cannot be reached. */
const STATEMENT_MS = 15_000;
const QUERY_MS = 20_000;
/** A call is tried again for so long while the server restarts, recovers from a crash or fails over. */
const PATIENCE_MS = 60_000;
const RETRY_MIN_MS = 25;
const RETRY_MAX_MS = 500;
const IDLE_MS = 60_000;
/** An unused connection is asked for a sign of life after this long, or each one of a lost network would cost a call {@link QUERY_MS}. */
const KEEPALIVE_MS = 5_000;

/** A commit that was answered is on disk; what a host that was cut off left open ends soon. */
const SESSION = [
  "-c synchronous_commit=on",
  "-c client_min_messages=warning",
  `-c statement_timeout=${STATEMENT_MS}`,
  "-c idle_in_transaction_session_timeout=5000",
  "-c tcp_keepalives_idle=5",
  "-c tcp_keepalives_interval=2",
  "-c tcp_keepalives_count=3",
].join(" ");

export type Row = Record<string, unknown>;

export interface ConnectionOptions {
  /** `postgres://…`; may carry a password, so it is never logged. */
  readonly url: string;
  /** Shown among the server's sessions. */
  readonly processId: string;
  readonly log: Logger;
  /** How long a call waits for a server that is away. (Default: 60000) */
  readonly patienceMs?: number | undefined;
}

export interface Statement {
  readonly text: string;
  readonly values?: readonly unknown[];
}

/** A bounded pool of connections to one database. Connections that broke are made anew by the next call. */
export class Connection {
  readonly #pool: Pool;
  readonly #patienceMs: number;
  /** Prepared once per connection, under the same name on each. */
  readonly #names = new Map<string, string>();
  #closing: Promise<void> | null = null;

  constructor({ url, processId, log, patienceMs = PATIENCE_MS }: ConnectionOptions) {
    this.#patienceMs = patienceMs;
    this.#pool = new Pool({
      connectionString: url,
      application_name: `polygym ${processId}`.slice(0, 63),
      max: CONNECTIONS,
      connectionTimeoutMillis: CONNECT_MS,
      query_timeout: QUERY_MS,
      idleTimeoutMillis: IDLE_MS,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEPALIVE_MS,
      options: SESSION,
    });
    // An idle connection that breaks is dropped by the pool; the next call makes another.
    this.#pool.on("error", (error) => log.warn({ reason: error.message }, "a connection to PostgreSQL broke"));
  }

  /** One statement, prepared. It may run twice when the connection breaks, so running it again must change nothing. */
  rows(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    return this.#patiently(() => this.#query({ text, values }, { prepare: true }));
  }

  /** The same, not prepared: for texts that are put together from a filter. */
  adHocRows({ text, values = [] }: Statement): Promise<Row[]> {
    return this.#patiently(() => this.#query({ text, values }, { prepare: false }));
  }

  /** One statement whose second run would change something: it is not tried again once it may have been sent. */
  async once(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    const client = await this.#patiently(() => this.#connect());
    try {
      return await releasing(client, () => this.#run(client, { text, values }, { prepare: true }));
    } catch (error) {
      throw failure(error);
    }
  }

  /** All of `work` in one transaction, which may run twice when the connection breaks. */
  transaction<T>(work: (run: (statement: Statement) => Promise<Row[]>) => Promise<T>): Promise<T> {
    return this.#patiently(async () => {
      const client = await this.#connect();
      return releasing(client, async () => {
        await client.query("BEGIN");
        const result = await work((statement) => this.#run(client, statement, { prepare: false }));
        await client.query("COMMIT");
        return result;
      });
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#pool.end();
    return this.#closing;
  }

  async #query(statement: Statement, options: { prepare: boolean }): Promise<Row[]> {
    const client = await this.#connect();
    return releasing(client, () => this.#run(client, statement, options));
  }

  async #run(client: PoolClient, { text, values = [] }: Statement, { prepare }: { prepare: boolean }): Promise<Row[]> {
    const named = prepare ? { name: this.#nameOf(text) } : {};
    const result = await client.query<Row>({ text, values: [...values], ...named });
    return result.rows;
  }

  #nameOf(text: string): string {
    const known = this.#names.get(text);
    if (known !== undefined) return known;
    const name = `polygym_${this.#names.size + 1}`;
    this.#names.set(text, name);
    return name;
  }

  async #connect(): Promise<PoolClient> {
    if (this.#closing !== null) throw new GymError("store_failed", "the store is closed");
    return this.#pool.connect();
  }

  async #patiently<T>(work: () => Promise<T>): Promise<T> {
    const deadline = performance.now() + this.#patienceMs;
    for (let pauseMs = RETRY_MIN_MS; ; pauseMs = Math.min(pauseMs * 2, RETRY_MAX_MS)) {
      try {
        return await work();
      } catch (error) {
        if (error instanceof GymError || error instanceof ProblemError) throw error;
        if (!isPassing(error) || this.#closing !== null || performance.now() > deadline) throw failure(error);
        await delay(pauseMs * (0.5 + Math.random()));
      }
    }
  }
}

/** Gives the client back, or drops it when it failed: a broken connection or half a transaction is nobody's. */
async function releasing<T>(client: PoolClient, work: () => Promise<T>): Promise<T> {
  // A break between two queries comes as an event too; the query that follows fails by itself.
  const ignore = () => undefined;
  client.on("error", ignore);
  let broken = true;
  try {
    const result = await work();
    broken = false;
    return result;
  } finally {
    client.off("error", ignore);
    client.release(broken);
  }
}

/** The server is restarting, full, or resolved a deadlock against us. */
const PASSING_STATES = new Set(["57P01", "57P02", "57P03", "53300", "40001", "40P01"]);
const CONNECTION_CLASS = "08";

/** What has no state of SQL comes from the connection. */
function isPassing(error: unknown): boolean {
  const state = sqlState(error);
  return state === null || state.startsWith(CONNECTION_CLASS) || PASSING_STATES.has(state);
}

function sqlState(error: unknown): string | null {
  if (!(error instanceof Error) || !("code" in error) || typeof error.code !== "string") return null;
  return /^[0-9A-Z]{5}$/.test(error.code) && "severity" in error ? error.code : null;
}

function failure(error: unknown): GymError {
  if (error instanceof GymError) return error;
  // Node reports the addresses it tried as one error without a text.
  const first: unknown = error instanceof AggregateError && error.message === "" ? error.errors[0] : error;
  const message = first instanceof Error ? first.message : String(first);
  return new GymError("store_failed", `PostgreSQL failed: ${message}`, { retryable: isPassing(error), cause: first });
}
