import { expect, test } from "vitest";
import { silentLog } from "./log.ts";
import { type Warm, type WarmKind, WarmPool, type WarmPoolOptions } from "./warm-pool.ts";

interface Item extends Warm {
  readonly number: number;
}

/** A pool of numbered items, and what became of them. */
function bench(options: Partial<WarmPoolOptions> = {}) {
  const made: number[] = [];
  const removed: number[] = [];
  const start = async (): Promise<Item> => {
    const number = made.length;
    made.push(number);
    return { number, remove: async () => void removed.push(number) };
  };
  const kind = (key: string, group?: string): WarmKind<Item> => ({ key, group, start });
  const pool = new WarmPool<Item>({
    ...{ size: 2, kinds: 2, after: 2, saturated: () => false, log: silentLog },
    ...options,
  });
  return { pool, kind, made, removed };
}
const fine = async (): Promise<void> => undefined;

test("keeps as many of a kind as it was asked for again, and hands each out once", async () => {
  const { pool, kind, made } = bench();
  expect(await pool.take(kind("a"), fine)).toBeNull();
  await pool.settled();
  expect(made).toEqual([]);
  expect(await pool.take(kind("a"), fine)).toBeNull();
  await pool.settled();
  expect(pool.waiting).toBe(1);
  expect((await pool.take(kind("a"), fine))?.number).toBe(0);
  await pool.settled();
  expect(pool.waiting).toBe(2);
  const taken = [await pool.take(kind("a"), fine), await pool.take(kind("a"), fine)];
  expect(taken.map((one) => one?.number)).toEqual([1, 2]);
  await pool.close();
});

test("removes what does not pass the check at checkout and goes on to the next", async () => {
  const { pool, kind, removed } = bench({ after: 0 });
  await pool.take(kind("a"), fine);
  await pool.settled();
  const taken = await pool.take(kind("a"), async ({ number }) => {
    if (number === 0) throw new Error("dead");
  });
  expect([taken?.number, removed]).toEqual([1, [0]]);
  await pool.close();
});

test("removes what has waited too long, and makes no more of a kind that nobody asked for meanwhile", async () => {
  let now = 0;
  const { pool, kind, removed } = bench({ after: 1, now: () => now });
  await pool.take(kind("a"), fine);
  await pool.settled();
  now = 3_600_000;
  pool.expire();
  await pool.settled();
  expect([pool.waiting, removed]).toEqual([0, [0]]);
  expect(await pool.take(kind("a"), fine)).toBeNull();
  await pool.close();
});

test("drops the kind that was not asked for longest", async () => {
  const { pool, kind, removed } = bench({ after: 1 });
  for (const key of ["a", "b", "c"]) {
    await pool.take(kind(key), fine);
    await pool.settled();
  }
  expect([pool.waiting, removed]).toEqual([2, [0]]);
  await pool.close();
});

test("drops what stands on a group, also what is just starting", async () => {
  const { pool, kind, made, removed } = bench({ after: 1 });
  const begun = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  const slow: WarmKind<Item> = {
    ...kind("a", "snapshot"),
    start: async () => {
      begun.resolve();
      await go.promise;
      return await kind("a").start();
    },
  };
  await pool.take(slow, fine);
  await begun.promise;
  const dropped = pool.drop("snapshot");
  go.resolve();
  await dropped;
  expect([made, removed, pool.waiting]).toEqual([[0], [0], 0]);
  await pool.close();
});

test("makes nothing while the machine is saturated", async () => {
  let asked = 0;
  let busy = true;
  const free = Promise.withResolvers<void>();
  const saturated = (): boolean => {
    if (++asked === 3) free.resolve();
    return busy;
  };
  const { pool, kind, made } = bench({ after: 1, saturated });
  await pool.take(kind("a"), fine);
  await free.promise;
  expect(made).toEqual([]);
  busy = false;
  await pool.settled();
  expect(made).toEqual([0]);
  await pool.close();
});

test("stops making a kind whose start fails until it is asked for again", async () => {
  const { pool, kind } = bench({ after: 1 });
  let starts = 0;
  const broken: WarmKind<Item> = {
    ...kind("a"),
    start: async () => {
      starts++;
      throw new Error("no room");
    },
  };
  await pool.take(broken, fine);
  await pool.settled();
  expect(starts).toBe(1);
  await pool.take(broken, fine);
  await pool.settled();
  expect(starts).toBe(2);
  await pool.close();
});

test("close removes all that waits, and nothing is handed out afterwards", async () => {
  const { pool, kind, made, removed } = bench({ after: 0 });
  await pool.take(kind("a"), fine);
  await pool.settled();
  await pool.close();
  expect([made, removed]).toEqual([
    [0, 1],
    [0, 1],
  ]);
  expect(await pool.take(kind("a"), fine)).toBeNull();
});
