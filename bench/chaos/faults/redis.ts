import { type Fault, now, pause, type Scene, unexpected } from "../fault.ts";
import type { Weather } from "../proxy.ts";

/** Rows 4, 5, 6: Redis and the way there. */

const CALLS_MS = 2_000;
const WEATHER_MS = 6_000;
/** Longer than the silence (15 s) after which a connection is opened again. */
const HALF_OPEN_MS = 17_000;
const SLEEP_S = 6;
/** Longer than the silence after which a worker counts as lost: nobody can say that it lives. */
const FULL_MS = 12_000;

/** Redis ends and comes back after a while, with or without its files. */
const outage = (name: string, how: "SIGTERM" | "SIGKILL", awayMs: number, files: "kept" | "erased"): Fault => ({
  row: 4,
  name,
  expect: "workers go on within 5 s after Redis is back; nothing is lost, nothing is done twice",
  callsWithinMs: null,
  inject: async ({ lab }) => {
    const injected = now();
    await lab.redis.end(how);
    if (files === "erased") await lab.redis.erase();
    await pause(awayMs);
    return injected;
  },
  heal: ({ lab }) => lab.redis.start(),
});

/** Redis answers nothing, and keeps its connections. */
const standstill = (name: string, ms: number): Fault => ({
  row: 4,
  name,
  expect: "workers go on within 5 s after Redis answers again; nothing is lost, nothing is done twice",
  callsWithinMs: null,
  inject: async ({ lab }) => {
    const injected = now();
    process.kill(lab.redis.pid, "SIGSTOP");
    await pause(ms);
    return injected;
  },
  heal: async ({ lab }) => void process.kill(lab.redis.pid, "SIGCONT"),
});

const command = (name: string, words: readonly string[], more: Partial<Fault>): Fault => ({
  row: 4,
  name,
  expect: "nothing is lost, nothing is done twice",
  callsWithinMs: null,
  inject: async ({ lab }) => {
    const injected = now();
    await lab.redis.command(...words);
    return injected;
  },
  ...more,
});

const full: Fault = {
  row: 5,
  name: "redis_out_of_memory",
  expect: "new episodes get 503 with Retry-After, running ones end, and nothing has to be started again",
  callsWithinMs: null,
  inject: async (scene) => {
    const { lab } = scene;
    const injected = now();
    await lab.redis.command("CONFIG", "SET", "maxmemory", "1");
    await expectRefusal(scene);
    await pause(FULL_MS);
    return injected;
  },
  heal: async ({ lab }) => void (await lab.redis.command("CONFIG", "SET", "maxmemory", "0")),
};

async function expectRefusal(scene: Scene): Promise<void> {
  const { gym } = scene.lab;
  const response = await fetch(`${gym.url}/v1/episodes`, {
    method: "POST",
    headers: { authorization: `Bearer ${gym.token}`, "content-type": "application/json" },
    body: JSON.stringify({
      task_id: "demo/leap-year",
      framework: "anthropic.bash-editor",
      episode_id: `ep_${scene.run}.refused`,
    }),
  });
  await response.body?.cancel();
  if (response.status !== 503 || response.headers.get("retry-after") === null)
    unexpected(scene, "I7", `a create with a full Redis answered ${response.status}, not 503 with Retry-After`);
  await scene.lab.gym.client.request("DELETE", `/v1/episodes/ep_${scene.run}.refused`).catch(() => undefined); // may not exist
}

const weather = (name: string, how: Weather, ms: number): Fault => ({
  row: 6,
  name,
  expect: "nothing is done twice; it goes on when the way is clear again",
  callsWithinMs: null,
  inject: async ({ lab }) => {
    const injected = now();
    lab.proxy.set(how);
    await pause(ms);
    return injected;
  },
  heal: async ({ lab }) => lab.proxy.set({ status: "clear" }),
});

export const redisFaults: readonly Fault[] = [
  outage("redis_away_3s", "SIGTERM", 3_000, "kept"),
  outage("redis_away_30s", "SIGTERM", 30_000, "kept"),
  standstill("redis_stopped_30s", 30_000),
  outage("redis_killed", "SIGKILL", 500, "kept"),
  outage("redis_erased", "SIGKILL", 1_000, "erased"),
  command("redis_client_kill", ["CLIENT", "KILL", "TYPE", "normal"], { times: 4, callsWithinMs: CALLS_MS }),
  command("redis_flushall", ["FLUSHALL"], { times: 2, callsWithinMs: CALLS_MS }),
  command("redis_sleep", ["DEBUG", "SLEEP", String(SLEEP_S)], {
    shortened: `${SLEEP_S} s instead of 20: longer than the 5 s after which a call to the queue is refused`,
  }),
  full,
  weather("redis_slow", { status: "slow", delayMs: 200 }, WEATHER_MS),
  weather("redis_lossy", { status: "lossy", share: 0.05, resendMs: 400, breaks: 0.002 }, WEATHER_MS),
  weather("redis_half_open", { status: "half_open" }, HALF_OPEN_MS),
];
