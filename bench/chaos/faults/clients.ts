import WebSocket from "ws";
import type { EpisodeAnswer } from "../../../core/api.ts";
import { loadConfig } from "../../../platform/config.ts";
import { bashStep } from "../../actions.ts";
import { eventually } from "../../gym.ts";
import { type Fault, now, pause, type Scene, unexpected } from "../fault.ts";
import { type Plan, play } from "../trainer.ts";
import { type Call, httpWire, socketWire, type Wire } from "../wire.ts";
import { FRAMEWORK, solutionOf, TASK } from "../workload.ts";

/** Rows 12 to 15: clients that send twice, vanish, read nothing, or come all at once. */

const CALLS_MS = 2_000;
const PATIENCE_MS = 90_000;
const SUBMISSION = { files: { "solution.py": "def is_leap(year):\n    return False\n" } };

/** An episode of the fault's own, as a trainer plays it. */
export const trainerPlan = (scene: Scene, name: string, more: Partial<Plan> = {}): Plan => ({
  id: `ep_${scene.run}.${name}`,
  task: TASK,
  framework: FRAMEWORK,
  run: scene.run,
  driver: "trainer",
  solves: true,
  steps: 2,
  pauseS: 0.3,
  twice: 0,
  ...more,
});

/** Plays it to its end; what the client was told is checked with the rest. */
export async function playOne(scene: Scene, plan: Plan, wire: Wire): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  const solution = solutionOf(loadConfig().root);
  const { told, refusals, unanswered } = await play(plan, { wire, dice: scene.dice.of(plan.id), solution, deadline });
  if (told !== null) scene.accept(told);
  for (const refusal of refusals) unexpected(scene, "I4", `${plan.id}: ${refusal}`);
  if (unanswered) unexpected(scene, "I1", `${plan.id} was not answered within ${PATIENCE_MS} ms`);
}

const duplicates: Fault = {
  row: 12,
  name: "jobs_delivered_twice",
  expect: "a job that is delivered twice at once is done once",
  times: 4,
  callsWithinMs: CALLS_MS,
  inject: async ({ lab }) => {
    const injected = now();
    for (const queue of ["episode", "verify"]) {
      const active = (await lab.redis.command("LRANGE", `bull:${queue}:active`, "0", "-1")).split("\n");
      for (const id of active.filter((one) => one !== "")) await lab.redis.command("LPUSH", `bull:${queue}:wait`, id);
      // Wakes a worker, as an added job does.
      await lab.redis.command("ZADD", `bull:${queue}:marker`, "0", "0");
    }
    return injected;
  },
};

const keyed: Fault = {
  row: 12,
  name: "same_idempotency_key",
  expect: "the same key and body get one answer, another body 409",
  callsWithinMs: CALLS_MS,
  inject: async (scene) => {
    const { gym } = scene.lab;
    const send = async (body: object): Promise<{ status: number; text: string }> => {
      const response = await fetch(`${gym.url}/v1/verify`, {
        method: "POST",
        headers: {
          authorization: `Bearer ${gym.token}`,
          "content-type": "application/json",
          "idempotency-key": `key-${scene.run}`,
        },
        body: JSON.stringify({ task_id: TASK, ...body }),
      });
      return { status: response.status, text: (await response.text()).trim() };
    };
    const injected = now();
    const same = await Promise.all(Array.from({ length: 4 }, () => send({ submission: SUBMISSION })));
    same.push(await send({ submission: SUBMISSION }));
    if (new Set(same.map(({ text }) => text)).size !== 1) unexpected(scene, "I2", "one key had several answers");
    const other = await send({ submission: { files: { "solution.py": "" } } });
    if (other.status !== 409) unexpected(scene, "I2", `another body under the same key answered ${other.status}`);
    return injected;
  },
};

const disconnects: Fault = {
  row: 13,
  name: "clients_vanish",
  expect: "a client that vanishes in the middle of a command and asks again gets that command's answer, once",
  callsWithinMs: CALLS_MS,
  inject: async (scene) => {
    const { url, token } = scene.lab.gym;
    const injected = now();
    const socket = socketWire({ url, token });
    const dropping = setInterval(() => socket.drop(), 250);
    try {
      await Promise.all([
        ...["a", "b", "c"].map((name) => playOne(scene, trainerPlan(scene, `socket-${name}`), socket)),
        ...["a", "b", "c"].map((name) => playOne(scene, trainerPlan(scene, `http-${name}`), impatient(scene))),
      ]);
    } finally {
      clearInterval(dropping);
      socket.close();
    }
    return injected;
  },
};

/** Hangs up during every other call, and so loses the answer. */
function impatient(scene: Scene): Wire {
  const { url, token } = scene.lab.gym;
  const wire = httpWire({ url, token });
  let calls = 0;
  return {
    ...wire,
    send: async (call) => {
      if (calls++ % 2 === 1 || call.op === "get") return wire.send(call);
      const path = "id" in call ? `/v1/episodes/${call.id}/${call.op}` : "/v1/episodes";
      await fetch(`${url}${path}`, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: JSON.stringify(call.body),
        signal: AbortSignal.timeout(100 + scene.dice.below(100)),
      });
      throw new Error("hung up");
    },
  };
}

const SLOW_BYTES = 48 * 1024 * 1024;
/** A socket's own buffer (32 MiB) and as much again for what the garbage collector has not taken yet. */
const SLOW_GROWTH_BYTES = 96 * 1024 * 1024;

const slowReader: Fault = {
  row: 14,
  name: "slow_reader",
  expect: "a reader that takes nothing costs the server a bounded buffer; it attaches again and has missed nothing",
  callsWithinMs: CALLS_MS,
  inject: async (scene) => {
    const { gym } = scene.lab;
    const injected = now();
    const plan = trainerPlan(scene, "slow-reader", { steps: 1, pauseS: 0 });
    const wire = httpWire(gym);
    const body = { episode_id: plan.id, task_id: TASK, framework: FRAMEWORK, run: scene.run };
    await wire.send({ op: "create", body: { ...body, limits: { output_bytes: 4 * SLOW_BYTES } } });
    const before = await serverMemory(scene);
    const socket = new WebSocket(`${gym.url.replace(/^http/, "ws")}/v1/ws`, {
      headers: { authorization: `Bearer ${gym.token}` },
    });
    await new Promise((opened, failed) => socket.once("open", opened).once("error", failed));
    socket.on("error", () => undefined); // it is cut off when it is too slow
    socket.send(JSON.stringify({ id: "a", op: "attach", episode_id: plan.id }));
    await pause(200);
    socket.pause();
    const command = `for i in 1 2 3 4 5 6; do head -c ${SLOW_BYTES / 6} /dev/zero | tr '\\0' x; sleep 0.3; done; echo`;
    const step = { seq: 1, action: bashStep(command) };
    await insist(wire, { op: "step", id: plan.id, body: step }, ({ answers }) => answers?.seq === 1);
    const growth = (await serverMemory(scene)) - before;
    scene.figure("server_growth_mb", Math.round(growth / 2 ** 20));
    if (growth > SLOW_GROWTH_BYTES) unexpected(scene, "I7", `a slow reader cost the server ${growth} bytes`);
    socket.terminate();
    const finish = { op: "finish", id: plan.id, body: { seq: 2, reason: "submitted" } } as const;
    const done = await insist(wire, finish, ({ state }) => state === "done");
    if (done?.reward !== 0) unexpected(scene, "I4", "the slow reader's episode did not end with its reward");
    return injected;
  },
};

/** Sends the call until an answer is settled; null when none was in time. */
async function insist(
  wire: Wire,
  call: Call,
  settled: (answer: EpisodeAnswer) => boolean,
): Promise<EpisodeAnswer | null> {
  const deadline = performance.now() + PATIENCE_MS;
  while (performance.now() < deadline) {
    const said = await wire.send(call);
    if (said.status === "answer" && settled(said.answer)) return said.answer;
    await pause(200);
  }
  return null;
}

async function serverMemory({ lab }: Scene): Promise<number> {
  const id = await lab.redis.command("SRANDMEMBER", "presence:servers");
  const presence = JSON.parse(await lab.redis.command("GET", `presence:${id}`)) as { rss_bytes: number }; // the server's own
  return presence.rss_bytes;
}

const HERD = 2_000;
const HERD_SETTLES_MS = 5_000;
const POSTS = 300;

const herd: Fault = {
  row: 15,
  name: "reconnect_storm",
  expect: "2,000 sockets that come back at once are served within 5 s, and so are many creates",
  shortened: `${POSTS} creates at once instead of 10,000: the load generator shares the machine`,
  callsWithinMs: null,
  inject: async (scene) => {
    const { gym } = scene.lab;
    const injected = now();
    const sockets = await openMany(gym.url, gym.token);
    for (const socket of sockets) socket.terminate();
    const began = performance.now();
    const again = await openMany(gym.url, gym.token);
    const settled = Math.round(performance.now() - began);
    for (const socket of again) socket.terminate();
    scene.figure("reconnected", again.length);
    scene.figure("settled_ms", settled);
    if (again.length < HERD) unexpected(scene, "I7", `${HERD - again.length} of ${HERD} sockets did not come back`);
    if (settled > HERD_SETTLES_MS) unexpected(scene, "I7", `${HERD} sockets came back in ${settled} ms`);
    await Promise.all(
      Array.from({ length: POSTS }, (_, i) =>
        playOne(scene, trainerPlan(scene, `herd-${i}`, { steps: 1, pauseS: 0, driver: "nothing" }), httpWire(gym)),
      ),
    );
    return injected;
  },
};

async function openMany(url: string, token: string): Promise<WebSocket[]> {
  const address = `${url.replace(/^http/, "ws")}/v1/ws`;
  const open: WebSocket[] = [];
  const sockets = Array.from({ length: HERD }, () => {
    const socket = new WebSocket(address, { headers: { authorization: `Bearer ${token}` } });
    socket.on("error", () => undefined); // counted by its absence
    socket.once("open", () => open.push(socket));
    return socket;
  });
  await eventually(async () => open.length === HERD, 4 * HERD_SETTLES_MS, "all sockets").catch(() => undefined);
  for (const socket of sockets) if (socket.readyState === WebSocket.CONNECTING) socket.terminate();
  return open;
}

export const clientFaults: readonly Fault[] = [duplicates, keyed, disconnects, slowReader, herd];
