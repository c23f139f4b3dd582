import { mkdtemp, readdir, readFile, rm, stat, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import WebSocket from "ws";
import { bashStep } from "../../bench/actions.ts";
import { freePort } from "../../bench/chaos/proxy.ts";
import { type ChaosRedis, startChaosRedis } from "../../bench/chaos/redis.ts";
import { eventually, type Gym, startGym } from "../../bench/gym.ts";
import type { EpisodeAnswer } from "../../core/api.ts";
import { loadConfig } from "../../platform/config.ts";
import { connectRedis, type Redis } from "../../platform/redis.ts";

/** The server and its Redis go away and come back, or come back with less: clients send the same call again, and no more. */
const DEADLINE_MS = 240_000;
/** Long enough that the fault strikes while it runs. */
const SLOW = "sleep 3; echo x >> /workspace/count; wc -l < /workspace/count";

const create = (gym: Gym, query = ""): Promise<EpisodeAnswer> =>
  gym.client.episode("POST", `/v1/episodes${query}`, {
    task_id: "demo/leap-year",
    framework: "anthropic.bash-editor",
  });
const step = (gym: Gym, id: string, seq: number, command: string): Promise<EpisodeAnswer> =>
  gym.client.episode("POST", `/v1/episodes/${id}/step`, { seq, action: bashStep(command) });
const said = (answer: EpisodeAnswer): unknown => answer.observations[0]?.messages[0]?.content;

/** As a trainer does: the same call until there is an answer. */
async function insist<T>(call: () => Promise<T>): Promise<T> {
  for (const deadline = Date.now() + DEADLINE_MS / 2; ; await delay(100)) {
    try {
      return await call();
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

const processOf = async (gym: Gym, pattern: string): Promise<number> => {
  const children = (await readFile(`/proc/${gym.pid}/task/${gym.pid}/children`, "utf8")).trim().split(" ");
  const commands = await Promise.all(children.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8")));
  const found = children.filter((_, i) => commands[i]?.includes(pattern));
  expect(found, `one process ${pattern}`).toHaveLength(1);
  return Number(found[0]);
};

async function withRedis<T>(gym: Gym, work: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = connectRedis(`unix://${join(loadConfig({}, { home: gym.home }).runDir, "redis.sock")}`);
  try {
    return await work(redis);
  } finally {
    redis.disconnect();
  }
}

const running = (gym: Gym, id: string): Promise<void> =>
  eventually(
    async () => (await gym.client.episode("GET", `/v1/episodes/${id}?wait_s=0`)).state === "running",
    DEADLINE_MS,
    "the step",
  );

/** One in each condition, with what each must say when all is over: nothing lost, no effect twice. */
async function population(gym: Gym) {
  const [ready, parked, busy] = await Promise.all([create(gym), create(gym), create(gym)]);
  await Promise.all([ready, parked].map(({ episode_id }) => step(gym, episode_id, 1, "echo x > /workspace/count")));
  await gym.client.episode("POST", `/v1/episodes/${parked.episode_id}/snapshot`);
  const scripts = Array.from({ length: 6 }, (_, index) => `ep_script-${Date.now().toString(36)}-${index}`);
  const body = { task_id: "demo/leap-year", framework: "anthropic.bash-editor", policy: { script: "gold" } };
  const rewards = scripts.map((episode_id) =>
    insist(() => gym.client.episode("POST", "/v1/rollouts?wait_s=100", { ...body, episode_id })),
  );
  const answer = insist(() => step(gym, busy.episode_id, 1, SLOW));
  await running(gym, busy.episode_id);
  return {
    settle: async (now: Gym) => {
      expect(said(await answer)).toBe("1");
      for (const { episode_id } of [ready, parked])
        expect(said(await insist(() => step(now, episode_id, 2, "wc -l < /workspace/count")))).toBe("1");
      expect(said(await insist(() => step(now, busy.episode_id, 2, "wc -l < /workspace/count")))).toBe("1");
      expect((await Promise.all(rewards)).map((ended) => ended.reward)).toEqual(scripts.map(() => 1));
      for (const id of scripts) {
        const { items } = (await now.client.request("GET", `/v1/episodes/${id}/trajectory`)) as {
          items: { type: string }[];
        };
        expect(items.filter(({ type }) => type === "reward.committed" || type === "episode.ended")).toHaveLength(2);
      }
    },
  };
}

test("a client that waits in a step across a restart of the server gets its answer by the same call, and a socket attaches again", {
  timeout: DEADLINE_MS,
}, async () => {
  await using gym = await startGym();
  const { episode_id: id } = await create(gym);
  const socket = () =>
    new WebSocket(`${gym.url.replace("http", "ws")}/v1/ws`, { headers: { authorization: `Bearer ${gym.token}` } });
  const first = socket();
  await new Promise((opened) => first.once("open", opened));
  const closed = new Promise<number>((resolve) => first.once("close", resolve));
  let calls = 0;
  const answer = insist(() => {
    calls++;
    return step(gym, id, 1, SLOW);
  });
  await running(gym, id);
  process.kill(await processOf(gym, "server/main.ts"), "SIGTERM");
  expect(await closed).toBe(1001);
  expect(said(await answer)).toBe("1");
  expect(calls).toBeGreaterThan(1);
  const again = socket();
  await new Promise((opened) => again.once("open", opened));
  const frames: { id?: string; event?: string; result?: EpisodeAnswer }[] = [];
  again.on("message", (data: Buffer) => void frames.push(JSON.parse(data.toString())));
  again.send(JSON.stringify({ id: "a", op: "attach", episode_id: id, after: 0 }));
  await eventually(async () => frames.some((frame) => frame.id === "a"), DEADLINE_MS, "the answer to attach");
  expect(frames.find((frame) => frame.id === "a")?.result).toMatchObject({ state: "ready", answers: { seq: 1 } });
  await step(gym, id, 2, "echo on");
  const observed = async () => frames.filter((frame) => frame.event === "observation").length >= 2;
  await eventually(observed, DEADLINE_MS, "the observations of both steps");
  again.close();
});

test("FLUSHALL loses nothing and runs nothing twice", { timeout: DEADLINE_MS }, async () => {
  await using gym = await startGym();
  const { settle } = await population(gym);
  await withRedis(gym, (redis) => redis.flushall());
  await settle(gym);
});

/** Longer than any patience of ours: locks, presences, connections and calls to the queue are all over by then. */
const AWAY_MS = 30_000;
const absences: readonly [string, (redis: ChaosRedis) => Promise<void>, (redis: ChaosRedis) => Promise<void>][] = [
  [
    `stands still for ${AWAY_MS / 1_000} s`,
    async ({ pid }) => void process.kill(pid, "SIGSTOP"),
    async ({ pid }) => void process.kill(pid, "SIGCONT"),
  ],
  [`is killed and comes back after ${AWAY_MS / 1_000} s`, (redis) => redis.end("SIGKILL"), (redis) => redis.start()],
];

test.each(absences)(
  "a Redis that %s loses nothing and runs nothing twice",
  {
    timeout: DEADLINE_MS,
  },
  async (_how, leave, comeBack) => {
    const home = await mkdtemp(join(tmpdir(), "away-"));
    await using redis = await startChaosRedis(home, await freePort());
    await using gym = await startGym({ redisUrl: `redis://127.0.0.1:${redis.port}` });
    const { settle } = await population(gym);
    await leave(redis);
    await delay(AWAY_MS);
    await comeBack(redis);
    await settle(gym);
    await rm(home, { recursive: true, force: true });
  },
);

test("a paused queue and a draining worker stay so after FLUSHALL and a restart of Redis", {
  timeout: DEADLINE_MS,
}, async () => {
  await using gym = await startGym({ workers: 2 });
  const [draining] = await gym.workers();
  if (draining === undefined) throw new Error("two workers were asked for");
  await gym.client.request("POST", `/v1/workers/${draining.id}/drain`);
  await gym.client.request("POST", "/v1/queues/episode/pause");
  const waiting: EpisodeAnswer[] = [];
  for (const forget of [
    () => withRedis(gym, (redis) => redis.flushall()),
    async () => process.kill(await processOf(gym, "redis-server"), "SIGKILL"),
  ]) {
    await forget();
    waiting.push(await insist(() => create(gym, "?wait_s=0")));
    const restored = () => withRedis(gym, async (redis) => (await redis.hexists("bull:episode:meta", "paused")) === 1);
    await eventually(restored, DEADLINE_MS, "the pause in Redis");
    const seen = async () => (await gym.workers()).find(({ id }) => id === draining.id)?.state === "draining";
    await eventually(seen, DEADLINE_MS, "the draining worker");
  }
  // The sweeper has put back by then what Redis forgot.
  const queued = async () =>
    ((await gym.client.request("GET", "/v1/queues/episode/why")) as { what: string }).what.startsWith("2 wait, 0 run");
  await eventually(queued, DEADLINE_MS, "the jobs in the queue");
  for (const { episode_id } of waiting)
    expect(await gym.client.episode("GET", `/v1/episodes/${episode_id}?wait_s=0`)).toMatchObject({
      state: "queued",
      pending_reason: "paused",
    });
  await gym.client.request("POST", "/v1/queues/episode/resume");
  for (const { episode_id } of waiting) expect(said(await step(gym, episode_id, 1, "echo here"))).toBe("here");
  const after = (await gym.workers()).find(({ id }) => id === draining.id);
  expect(after).toMatchObject({ state: "draining", live: 0 });
});

/** Both are the same to the queue: jobs that were there are not there any more. */
const losses: readonly [string, (folder: string) => Promise<void>][] = [
  ["an empty Redis", (folder) => rm(folder, { recursive: true, force: true })],
  ["a lost tail of its log", halve],
];

test.each(losses)("%s at the next start loses nothing", { timeout: DEADLINE_MS }, async (_what, lose) => {
  await using first = await startGym();
  const { episode_id: parked } = await create(first);
  await step(first, parked, 1, "echo x > /workspace/count");
  await first.client.request("POST", "/v1/queues/episode/pause");
  const waiting = await Promise.all(Array.from({ length: 5 }, () => create(first, "?wait_s=0")));
  expect(waiting.map(({ state }) => state)).toEqual(waiting.map(() => "queued"));
  await first.stop();
  await lose(join(first.home, "redis"));
  await using gym = await startGym({ home: first.home });
  const kept = await gym.client.request("GET", "/v1/queues/episode/why");
  expect(kept).toMatchObject({ state: "paused", pending_reason: "paused" });
  await gym.client.request("POST", "/v1/queues/episode/resume");
  for (const { episode_id } of waiting) expect(said(await step(gym, episode_id, 1, "echo here"))).toBe("here");
  expect(said(await step(gym, parked, 2, "cat /workspace/count"))).toBe("x");
});

/** The second half of what was written since the last snapshot. */
async function halve(folder: string): Promise<void> {
  const names = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith(".incr.aof"));
  expect(names.length).toBeGreaterThan(0);
  for (const name of names) await truncate(join(folder, name), (await stat(join(folder, name))).size >> 1);
}
