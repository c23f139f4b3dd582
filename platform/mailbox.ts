import { GymError } from "../core/errors.ts";
import { Digest } from "../core/ids.ts";
import { ServerMail, WorkerMail } from "../core/mail.ts";
import type { BlobStore } from "../core/store.ts";
import type { Logger } from "./log.ts";
import { presences } from "./presence.ts";
import { connectRedis, type Redis } from "./redis.ts";

/** Letters in one mailbox; beyond it the oldest go. A letter is a hint: the store has what it speaks of. */
const MAX_LETTERS = 20_000;
/** A longer letter lies in a blob, and its entry says where: Redis holds what is small (runtime.md §4). */
const MOST_INLINE_BYTES = 64 * 1024;
/** A mailbox that nobody writes to any more disappears. */
const EXPIRE_MS = 120_000;
const READ_BLOCK_MS = 5_000;
const READ_COUNT = 256;
/** How long the list of servers for a broadcast is used again. */
const SERVERS_FRESH_MS = 250;
const RETRY_MS = 200;

export type MailKind = "worker" | "server";
interface MailOf {
  worker: WorkerMail;
  server: ServerMail;
}

const mailboxKey = (kind: MailKind, id: string): string => (kind === "worker" ? `mail:${id}` : `reply:${id}`);

export interface Mailbox {
  toWorker(worker: string, mail: WorkerMail): Promise<void>;
  toServer(server: string, mail: ServerMail): Promise<void>;
  /** To every server that lives. */
  broadcast(mail: ServerMail): Promise<void>;
  /** Sends nothing any more. The connection is its owner's. */
  close(): Promise<void>;
}

export interface MailboxOptions {
  readonly redis: Redis;
  /** Where long letters lie; the readers have the same. */
  readonly blobs: BlobStore;
}

/** Writes letters. Each call resolves when Redis has them, and throws GymError `queue_failed` when it takes none. */
export function openMailbox({ redis, blobs }: MailboxOptions): Mailbox {
  let servers: { ids: string[]; at: number } = { ids: [], at: Number.NEGATIVE_INFINITY };
  const send = async (keys: readonly string[], mail: WorkerMail | ServerMail) => {
    const text = JSON.stringify(mail);
    const field = text.length > MOST_INLINE_BYTES ? ["blob", await blobs.putBlob(Buffer.from(text))] : ["mail", text];
    const pipeline = redis.pipeline();
    for (const key of keys) pipeline.xadd(key, "MAXLEN", "~", MAX_LETTERS, "*", ...field).pexpire(key, EXPIRE_MS);
    for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw notTaken(error);
  };
  return {
    toWorker: (worker, mail) => send([mailboxKey("worker", worker)], mail),
    toServer: (server, mail) => send([mailboxKey("server", server)], mail),
    broadcast: async (mail) => {
      if (performance.now() - servers.at > SERVERS_FRESH_MS)
        servers = { ids: (await presences(redis, "server")).map((p) => p.id), at: performance.now() };
      if (servers.ids.length > 0)
        await send(
          servers.ids.map((id) => mailboxKey("server", id)),
          mail,
        );
    },
    close: async () => undefined,
  };
}

const notTaken = (cause: Error): GymError =>
  new GymError("queue_failed", `Redis did not take a letter: ${cause.message}`, { retryable: true, cause });

export interface ReadOptions<K extends MailKind> {
  readonly url: string;
  readonly kind: K;
  /** Whose mailbox. */
  readonly id: string;
  /** Called in the order of the letters, and not awaited: one slow letter holds up no other. */
  readonly onMail: (mail: MailOf[K]) => void | Promise<void>;
  readonly blobs: BlobStore;
  readonly log: Logger;
}

export interface MailReader {
  close(): Promise<void>;
}

const parsers: { readonly [K in MailKind]: { parse(value: unknown): MailOf[K] } } = {
  worker: WorkerMail,
  server: ServerMail,
};

/**
 * Reads a mailbox until it is closed, on a connection of its own. Each read starts at the beginning and takes out what the
 * one before handled, so nothing is missed between two reads. A letter that cannot be read is logged and dropped.
 */
export function readMailbox<K extends MailKind>({ url, kind, id, onMail, blobs, log }: ReadOptions<K>): MailReader {
  const redis = connectRedis(url);
  const key = mailboxKey(kind, id);
  let closed = false;
  const handle = (text: string) => {
    try {
      const outcome = onMail(parsers[kind].parse(JSON.parse(text)));
      outcome?.catch((error: unknown) => log.error({ err: error, mailbox: key }, "handling a letter failed"));
    } catch (error) {
      log.error({ err: error, mailbox: key, head: text.slice(0, 200) }, "letter dropped");
    }
  };
  const longLetter = async (digest: string): Promise<string | null> => {
    try {
      const data = await blobs.blob(Digest.parse(digest));
      if (data === null) throw new GymError("store_failed", `there is no blob ${digest}`);
      return Buffer.from(data).toString("utf8");
    } catch (error) {
      log.error({ err: error, mailbox: key }, "long letter dropped");
      return null;
    }
  };
  const run = async () => {
    let handled: string[] = [];
    while (!closed) {
      try {
        // The first command is done before the second starts, in one trip.
        const removal = handled.length > 0 ? redis.xdel(key, ...handled) : null;
        const reading = redis.xread("COUNT", READ_COUNT, "BLOCK", READ_BLOCK_MS, "STREAMS", key, "0-0");
        const [, streams] = await Promise.all([removal, reading]);
        const known = new Set(handled);
        const entries = streams?.[0]?.[1] ?? [];
        handled = entries.map(([entry]) => entry);
        for (const [entry, [name, value = ""]] of entries) {
          if (known.has(entry)) continue;
          const text = name === "blob" ? await longLetter(value) : value;
          if (text !== null) handle(text);
        }
      } catch (error) {
        if (closed) return;
        log.warn({ err: error, mailbox: key }, "mailbox cannot be read, trying again");
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  };
  const running = run();
  return {
    close: async () => {
      closed = true;
      redis.disconnect();
      await running;
    },
  };
}
