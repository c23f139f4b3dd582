import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { newEpisodeId, sha256 } from "../../core/ids.ts";
import type { Presence, ServerMail, WorkerMail } from "../../core/mail.ts";
import type { BlobStore } from "../../core/store.ts";
import { type Mailbox, type MailReader, openMailbox, readMailbox } from "../../platform/mailbox.ts";
import { type Announcement, announce, forgetPresence, presences } from "../../platform/presence.ts";
import { connectRedis, type Redis } from "../../platform/redis.ts";
import { blobFiles } from "../../platform/store/blob-files.ts";
import { openTestRedis, type TestRedis } from "../test-redis.ts";

const log = pino({ level: "silent" });
const DEADLINE = { timeout: 10_000, interval: 10 };
let server: TestRedis;
let redis: Redis;
let mailbox: Mailbox;
let dir: string;
let blobs: BlobStore;
const readers: MailReader[] = [];
const announcements: Announcement[] = [];

beforeEach(async () => {
  server = await openTestRedis();
  dir = await mkdtemp(join(tmpdir(), "polygym-mail-"));
  redis = connectRedis(server.url);
  blobs = blobFiles(join(dir, "blobs"));
  mailbox = openMailbox({ redis, blobs });
});
afterEach(async () => {
  for (const reader of readers.splice(0)) await reader.close();
  for (const announcement of announcements.splice(0)) await announcement.close();
  redis.disconnect();
  await server[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
});

function read(id: string): ServerMail[] {
  const got: ServerMail[] = [];
  readers.push(readMailbox({ url: server.url, kind: "server", id, blobs, log, onMail: (mail) => void got.push(mail) }));
  return got;
}

const letter = (n: number): ServerMail => ({ type: "job", job_id: `job_${n}` });
const letters = (count: number) => Array.from({ length: count }, (_, n) => letter(n));

const presence = (over: Partial<Presence> = {}): Presence => ({
  id: "server_a",
  kind: "server",
  pid: 1,
  host: "here",
  version: "1",
  started_at: 1,
  seen_at: 1,
  state: "running",
  live: 0,
  capacity: 0,
  jobs: 0,
  sandboxes: 0,
  snapshots: 0,
  snapshot_bytes: 0,
  tier: null,
  runtimes: [],
  rss_bytes: 1,
  loop_p99_ms: 0,
  ...over,
});

async function appear(over: Partial<Presence>): Promise<Announcement> {
  const announcement = announce({ redis, describe: () => presence(over) });
  announcements.push(announcement);
  await announcement.refresh();
  return announcement;
}

test("letters come once, in order, also those sent before anybody read", async () => {
  for (const mail of letters(300)) await mailbox.toServer("server_a", mail);
  const got = read("server_a");
  await vi.waitFor(() => expect(got).toHaveLength(300), DEADLINE);
  for (const mail of letters(300)) await mailbox.toServer("server_a", mail);
  await vi.waitFor(() => expect(got).toHaveLength(600), DEADLINE);
  expect(got).toEqual([...letters(300), ...letters(300)]);
});

test("letters sent all at once lose none", async () => {
  const got = read("server_a");
  await Promise.all(letters(2_000).map((mail) => mailbox.toServer("server_a", mail)));
  await vi.waitFor(() => expect(got).toHaveLength(2_000), DEADLINE);
});

test("what was handled is taken out, and a mailbox expires", async () => {
  const got = read("server_a");
  for (const mail of letters(10)) await mailbox.toServer("server_a", mail);
  await vi.waitFor(() => expect(got).toHaveLength(10), DEADLINE);
  await vi.waitFor(async () => expect(await redis.xlen("reply:server_a")).toBe(0), DEADLINE);
  expect(await redis.pttl("reply:server_a")).toBeGreaterThan(0);
});

test("a long step reaches its worker whole, and Redis holds none of it", async () => {
  const mail: WorkerMail = {
    type: "step",
    episode_id: newEpisodeId(),
    term: 1,
    server: "server_a",
    correlation: "c1",
    conversation: "main",
    seq: 1,
    action: { message: { role: "assistant", content: "\u0000 ü 🜁".repeat(30_000) } },
    tokens: { completion_ids: [1, 2, 3] },
  };
  await mailbox.toWorker("worker_a", mail);
  const entries = await redis.xrange("mail:worker_a", "-", "+");
  expect(entries).toHaveLength(1);
  expect(JSON.stringify(entries).length).toBeLessThan(1024);
  const got: WorkerMail[] = [];
  const onMail = (letter: WorkerMail) => void got.push(letter);
  readers.push(readMailbox({ url: server.url, kind: "worker", id: "worker_a", blobs, log, onMail }));
  await vi.waitFor(() => expect(got).toEqual([mail]), DEADLINE);
});

test("a letter that cannot be read, or whose handling fails, holds up no other", async () => {
  const seen: string[] = [];
  const onMail = (mail: ServerMail): void | Promise<void> => {
    const id = mail.type === "job" ? mail.job_id : mail.type;
    seen.push(id);
    if (id === "job_0") throw new Error("at once");
    return id === "job_1" ? Promise.reject(new Error("later")) : undefined;
  };
  await redis.xadd("reply:server_a", "*", "mail", "{no json");
  await redis.xadd("reply:server_a", "*", "mail", '{"type":"unheard of"}');
  await redis.xadd("reply:server_a", "*", "blob", sha256("never stored"));
  readers.push(readMailbox({ url: server.url, kind: "server", id: "server_a", blobs, log, onMail }));
  for (const mail of letters(3)) await mailbox.toServer("server_a", mail);
  await vi.waitFor(() => expect(seen).toEqual(["job_0", "job_1", "job_2"]), DEADLINE);
  await vi.waitFor(async () => expect(await redis.xlen("reply:server_a")).toBe(0), DEADLINE);
});

test("a reader goes on after its connection was cut and after Redis was restarted", async () => {
  const got = read("server_a");
  await mailbox.toServer("server_a", letter(0));
  await vi.waitFor(() => expect(got).toHaveLength(1), DEADLINE);
  await redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  await mailbox.toServer("server_a", letter(1));
  await vi.waitFor(() => expect(got).toHaveLength(2), DEADLINE);
  const pid = Number(/process_id:(\d+)/.exec(await redis.info("server"))?.[1]);
  process.kill(pid, "SIGTERM");
  await mailbox.toServer("server_a", letter(2));
  await vi.waitFor(() => expect(got.at(-1)).toEqual(letter(2)), DEADLINE);
});

test("a broadcast reaches every live server and no dead one", async () => {
  await appear({ id: "server_a" });
  await appear({ id: "server_b" });
  await appear({ id: "server_dead" });
  await appear({ id: "worker_a", kind: "worker" });
  await forgetPresence(redis, "server_dead");
  const [a, b] = [read("server_a"), read("server_b")];
  await mailbox.broadcast(letter(7));
  await vi.waitFor(() => expect([a, b]).toEqual([[letter(7)], [letter(7)]]), DEADLINE);
  expect(await redis.exists("reply:server_dead", "reply:worker_a", "mail:worker_a")).toBe(0);
});

test("a process is present until it says no more, oldest first", async () => {
  await appear({ id: "worker_b", kind: "worker", started_at: 2, live: 3 });
  const first = await appear({ id: "worker_a", kind: "worker", started_at: 1 });
  expect((await presences(redis, "worker")).map((p) => p.id)).toEqual(["worker_a", "worker_b"]);
  await first.close();
  expect(await presences(redis, "worker")).toEqual([
    presence({ id: "worker_b", kind: "worker", started_at: 2, live: 3 }),
  ]);
  expect(await presences(redis, "server")).toEqual([]);
});

test("a process that stopped speaking is forgotten when its time is over", async () => {
  await appear({ id: "worker_b", kind: "worker" });
  expect(await redis.pttl("presence:worker_b")).toBeGreaterThan(3_000);
  expect(await redis.pttl("presence:worker_b")).toBeLessThanOrEqual(5_000);
  // As when the time is over: the key is gone, its id is still on the list.
  await redis.set("presence:worker_gone", "{}", "PX", 1);
  await redis.sadd("presence:workers", "worker_gone");
  await vi.waitFor(async () => expect(await redis.exists("presence:worker_gone")).toBe(0), DEADLINE);
  expect((await presences(redis, "worker")).map((p) => p.id)).toEqual(["worker_b"]);
  expect(await redis.smembers("presence:workers")).toEqual(["worker_b"]);
});

test("a Redis that is full refuses letters as a failure of the queue, and takes them again when it has room", async () => {
  await redis.config("SET", "maxmemory", "1");
  await expect(mailbox.toServer("server_a", letter(1))).rejects.toMatchObject({
    code: "queue_failed",
    retryable: true,
  });
  await redis.config("SET", "maxmemory", "0");
  await mailbox.toServer("server_a", letter(2));
  const got = read("server_a");
  await vi.waitFor(() => expect(got).toEqual([letter(2)]), DEADLINE);
});
