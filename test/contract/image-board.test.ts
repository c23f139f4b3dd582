import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { newJobId } from "../../core/ids.ts";
import { type ImageBoard, openImageBoard } from "../../platform/image-board.ts";
import { connectRedis, type Redis } from "../../platform/redis.ts";
import { openTestRedis, type TestRedis } from "../test-redis.ts";

let server: TestRedis;
let redis: Redis;
let board: ImageBoard;
beforeEach(async () => {
  server = await openTestRedis();
  redis = connectRedis(server.url);
  board = openImageBoard({ redis });
});
afterEach(async () => {
  redis.disconnect();
  await server[Symbol.asyncDispose]();
});

const digest = `sha256:${"a".repeat(64)}`;
const item = {
  name: "python",
  host: "here",
  digest,
  source: "packages" as const,
  bytes: 1,
  runtimes: { python3: "3" },
  built_at: 1,
  used_at: 2,
};

test("each machine's images are listed as it said last", async () => {
  await board.publish("one", [item, { ...item, name: "c" }]);
  await board.publish("two", [{ ...item, host: "there" }]);
  await board.publish("one", [item]);
  expect((await board.images()).sort((a, b) => (a.host < b.host ? -1 : 1))).toEqual([item, { ...item, host: "there" }]);
});

test("the latest build of an image is known by machine", async () => {
  const build = { name: "python", host: "here", job_id: newJobId(), definition: digest, error: null, at: 1 };
  await board.setBuild("one", { ...build, state: "running" });
  await board.setBuild("one", { ...build, state: "failed", error: "no mirror", at: 2 });
  expect(await board.build("one", "python")).toMatchObject({ state: "failed", error: "no mirror" });
  expect(await board.build("two", "python")).toBeNull();
  expect((await board.builds()).map(({ store }) => store)).toEqual(["one"]);
});

test("a log is read on while it grows, and its first lines go when it is long", async () => {
  await board.startLog("one", "python");
  expect(await board.readLog("one", "python", 0)).toEqual({ lines: [], next: 0, dropped: 0 });
  await board.appendLog("one", "python", ["a", "b".repeat(5_000)]);
  const first = await board.readLog("one", "python", 0);
  expect([first.lines[0], first.lines[1]?.length, first.next]).toEqual(["a", 1_000, 2]);
  for (let i = 0; i < 25; i++)
    await board.appendLog(
      "one",
      "python",
      Array.from({ length: 100 }, (_, k) => `${i} ${k}`),
    );
  const later = await board.readLog("one", "python", first.next);
  expect(later.dropped).toBe(500);
  expect([later.lines.length, later.lines[0], later.next]).toEqual([500, "5 0", 1_002]);
  expect(await board.lastLine("one", "python")).toBe("24 99");
  await board.startLog("one", "python");
  expect(await board.lastLine("one", "python")).toBeNull();
});

test("one at a time may change the images of a machine", async () => {
  const first = await board.lock("one", "worker_a");
  expect(first).not.toBeNull();
  expect(await board.lock("one", "worker_b")).toBeNull();
  const other = await board.lock("two", "worker_b");
  expect(other).not.toBeNull();
  await first?.[Symbol.asyncDispose]();
  const next = await board.lock("one", "worker_b");
  expect(next).not.toBeNull();
  await Promise.all([other?.[Symbol.asyncDispose](), next?.[Symbol.asyncDispose]()]);
});

test("a build is cancelled by its job", async () => {
  const job = newJobId();
  expect(await board.isCancelled(job)).toBe(false);
  await board.cancel(job);
  await vi.waitFor(async () => expect(await board.isCancelled(job)).toBe(true));
  expect(await board.isCancelled(newJobId())).toBe(false);
});
