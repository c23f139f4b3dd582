import { randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bashStep } from "../../bench/actions.ts";
import { eventually, type Gym, startGym } from "../../bench/gym.ts";
import type { EpisodeAnswer } from "../../core/api.ts";

/** Whole processes, a real Redis and real sandboxes: what is answered stays true when anything dies. */
const TASK = "demo/leap-year";
const FRAMEWORK = "anthropic.bash-editor";
const DEADLINE_MS = 120_000;
const SAVE_EVERY = 5;

let gym: Gym;
beforeAll(async () => {
  gym = await startGym({ workers: 1, saveEverySteps: SAVE_EVERY });
}, DEADLINE_MS);
afterAll(async () => {
  await gym[Symbol.asyncDispose]();
}, DEADLINE_MS);

const create = (fields: Record<string, unknown> = {}): Promise<EpisodeAnswer> =>
  gym.client.episode("POST", "/v1/episodes", { task_id: TASK, framework: FRAMEWORK, ...fields });
const step = async (id: string, seq: number, command: string): Promise<string> => {
  const answer = await gym.client.episode("POST", `/v1/episodes/${id}/step`, { seq, action: bashStep(command) });
  const message = answer.observations[0]?.messages[0];
  return typeof message?.content === "string" ? message.content : `no message: ${JSON.stringify(answer)}`;
};
const finish = (id: string, seq: number) =>
  gym.client.episode("POST", `/v1/episodes/${id}/finish`, { seq, reason: "submitted" });
const killWorkers = async () => {
  const workers = await gym.workers();
  expect(workers.length).toBeGreaterThan(0);
  for (const { pid } of workers) process.kill(pid, "SIGKILL");
};
const run = () => `run-${randomBytes(4).toString("hex")}`;

test("an episode goes on where it was after its worker was killed", { timeout: DEADLINE_MS }, async () => {
  const { episode_id: id } = await create();
  expect(await step(id, 1, "export COLOUR=red; cd /tmp; echo kept > /workspace/note")).toBe("");
  await killWorkers();
  expect(await step(id, 2, "echo $COLOUR $PWD; cat /workspace/note")).toBe("red /tmp\nkept");
  const answer = await finish(id, 3);
  expect(answer).toMatchObject({ state: "done", outcome: "ok", reward: 0, reward_status: "final" });
});

test("a step sent again after the kill is answered once and the same", { timeout: DEADLINE_MS }, async () => {
  const { episode_id: id } = await create();
  const first = await step(id, 1, "echo x >> /workspace/count; wc -l < /workspace/count");
  await killWorkers();
  expect(await step(id, 1, "echo x >> /workspace/count; wc -l < /workspace/count")).toBe(first);
  expect(await step(id, 2, "wc -l < /workspace/count")).toBe("1");
});

test("50 server-driven episodes all end with their reward though the worker is killed twice", {
  timeout: DEADLINE_MS,
}, async () => {
  const label = run();
  const made = Array.from({ length: 50 }, () =>
    gym.client.episode("POST", "/v1/rollouts?wait_s=100", {
      task_id: TASK,
      framework: FRAMEWORK,
      run: label,
      policy: { script: "gold" },
    }),
  );
  const ended = async (n: number) => {
    const { counts } = (await gym.client.request("GET", `/v1/episodes?run=${label}`)) as {
      counts: { state: { done?: number } };
    };
    return (counts.state.done ?? 0) >= n;
  };
  await eventually(() => ended(5), DEADLINE_MS, "the first five rewards");
  await killWorkers();
  await eventually(() => ended(20), DEADLINE_MS, "twenty rewards");
  await killWorkers();
  const answers = await Promise.all(made);
  expect(answers.map((a) => a.state)).toEqual(Array.from({ length: 50 }, () => "done"));
  expect(answers.map((a) => a.reward)).toEqual(Array.from({ length: 50 }, () => 1));
  for (const { episode_id } of answers) {
    const { items } = (await gym.client.request("GET", `/v1/episodes/${episode_id}/trajectory`)) as {
      items: { type: string }[];
    };
    expect(items.filter((event) => event.type === "reward.committed")).toHaveLength(1);
    expect(items.filter((event) => event.type === "episode.ended")).toHaveLength(1);
  }
});

test("a parked episode comes back with its files, folder and variables", { timeout: DEADLINE_MS }, async () => {
  const { episode_id: id } = await create();
  await step(
    id,
    1,
    "export COLOUR=blue; mkdir -p deep/er; cd deep/er; printf 'a\\0b' > raw; rm /workspace/solution.py",
  );
  const parked = await gym.client.episode("POST", `/v1/episodes/${id}/snapshot`);
  expect(parked.state).toBe("parked");
  expect(await step(id, 2, "echo $COLOUR $PWD; wc -c < raw; ls /workspace")).toBe("blue /workspace/deep/er\n3\ndeep");
});

test("programs that parking ended are named with the next observation, once", { timeout: DEADLINE_MS }, async () => {
  const { episode_id: id } = await create();
  await step(id, 1, "sleep 1000 & tail -f /dev/null &");
  await gym.client.episode("POST", `/v1/episodes/${id}/snapshot`);
  const next = (seq: number) => gym.client.episode("POST", `/v1/episodes/${id}/step`, { seq, action: bashStep(":") });
  const info = { processes_lost: 2, commands_lost: ["sleep", "tail"] };
  expect((await next(2)).observations[0]?.info).toEqual(info);
  expect((await next(3)).observations[0]?.info).toBeUndefined();
});

test("children of a fork go on by themselves", { timeout: DEADLINE_MS }, async () => {
  const { episode_id: id } = await create();
  await step(id, 1, "echo shared > f; export WHO=parent");
  const { items } = (await gym.client.request("POST", `/v1/episodes/${id}/fork`, { n: 2 })) as {
    items: EpisodeAnswer[];
  };
  expect(new Set(items.map((child) => child.episode_id)).size).toBe(2);
  const [a, b] = items;
  if (a === undefined || b === undefined) throw new Error("two children were asked for");
  expect(await step(a.episode_id, 2, "echo a >> f; cat f; echo $WHO")).toBe("shared\na\nparent");
  expect(await step(b.episode_id, 2, "cat f")).toBe("shared");
  expect(await step(id, 2, "cat f")).toBe("shared");
});

test("of what an episode saved only the last is kept, what others go on from, and nothing after its end", {
  timeout: DEADLINE_MS,
}, async () => {
  const { episode_id: id } = await create();
  const snapshots = async (): Promise<boolean[]> => {
    const { items } = (await gym.client.request("GET", `/v1/episodes/${id}/trajectory`)) as {
      items: { type: string; snapshot?: string }[];
    };
    const blobs = await readdir(join(gym.home, "store", "blobs"));
    return items.flatMap(({ snapshot }) => (snapshot === undefined ? [] : [blobs.includes(snapshot.slice(7))]));
  };
  for (let seq = 1; seq <= SAVE_EVERY + 2; seq++) await step(id, seq, `echo ${seq} >> /workspace/steps`);
  await gym.client.episode("POST", `/v1/episodes/${id}/snapshot`);
  expect(await snapshots()).toEqual([false, true]);
  const children = (await gym.client.request("POST", `/v1/episodes/${id}/fork`, { n: 2 })) as {
    items: EpisodeAnswer[];
  };
  expect(await step(id, SAVE_EVERY + 3, "wc -l < /workspace/steps")).toBe(String(SAVE_EVERY + 2));
  await gym.client.episode("POST", `/v1/episodes/${id}/snapshot`);
  expect(await snapshots()).toEqual([false, true, true]);
  await finish(id, SAVE_EVERY + 4);
  await eventually(async () => !(await snapshots())[2], DEADLINE_MS, "the end of the last snapshot");
  expect(await snapshots()).toEqual([false, true, false]);
  for (const child of children.items)
    expect(await step(child.episode_id, SAVE_EVERY + 3, "wc -l < /workspace/steps")).toBe(String(SAVE_EVERY + 2));
});

test("live episodes survive a restart of the whole service", { timeout: DEADLINE_MS }, async () => {
  const ids = await Promise.all(Array.from({ length: 20 }, async () => (await create()).episode_id));
  await Promise.all(ids.map((id, i) => step(id, 1, `echo ${i} > mine; cd /tmp`)));
  const { home } = gym;
  await gym.stop();
  gym = await startGym({ workers: 1, home, saveEverySteps: SAVE_EVERY });
  const said = await Promise.all(ids.map((id) => step(id, 2, "cat /workspace/mine; pwd")));
  expect(said).toEqual(ids.map((_, i) => `${i}\n/tmp`));
});

const trajectory = async (id: string) => {
  const { items } = (await gym.client.request("GET", `/v1/episodes/${id}/trajectory`)) as {
    items: { type: string; seq?: number; replayed_steps?: number }[];
  };
  return items;
};
/** What the trajectory says of the last recovery. */
const recovery = async (id: string) => (await trajectory(id)).findLast((event) => event.type === "episode.recovered");

test("a recovery replays no more than the steps since the last save, and loses nothing of the shell", {
  timeout: DEADLINE_MS,
}, async () => {
  const { episode_id: id } = await create();
  await step(id, 1, "greet() { echo hello $1; }; readonly FIXED=1; cd /tmp; trap 'echo bye' USR1");
  for (let seq = 2; seq <= 12; seq++) await step(id, seq, `echo ${seq} >> /workspace/log`);
  expect(await step(id, 13, "false")).toBe("");
  const isSaved = async () =>
    (await trajectory(id)).some((event) => event.type === "episode.saved" && event.seq === 10);
  await eventually(isSaved, DEADLINE_MS, "the save of step 10, which is written behind the steps");
  await killWorkers();
  expect(await step(id, 14, "echo $? $FIXED $PWD; greet you; trap -p; wc -l < /workspace/log")).toBe(
    "1 1 /tmp\nhello you\ntrap -- 'echo bye' SIGUSR1\n11",
  );
  const recovered = await recovery(id);
  expect(recovered).toMatchObject({ from: "snapshot", replay_mismatch: false, differs: [], workspace_compared: true });
  expect(recovered?.replayed_steps).toBeLessThanOrEqual(SAVE_EVERY);
});

test("an episode whose programs would be lost is not saved, and recovers from its log", {
  timeout: DEADLINE_MS,
}, async () => {
  const { episode_id: id } = await create();
  await step(id, 1, "sleep 1000 & echo $! > /tmp/pid");
  for (let seq = 2; seq <= 8; seq++) expect(await step(id, seq, "kill -0 $(cat /tmp/pid); echo $?")).toBe("0");
  await killWorkers();
  expect(await step(id, 9, "kill -0 $(cat /tmp/pid); echo $?")).toBe("0");
  expect(await recovery(id)).toMatchObject({ from: "base", replayed_steps: 8 });
});

for (const [policy, trainable] of [
  ["continue", true],
  ["mask", false],
] as const)
  test(`files that a replay makes differently are said: ${policy}`, { timeout: DEADLINE_MS }, async () => {
    const { episode_id: id } = await create({ on_replay_mismatch: policy });
    await step(id, 1, "head -c 8 /dev/urandom > /workspace/random");
    await killWorkers();
    await step(id, 2, "true");
    expect(await recovery(id)).toMatchObject({ replay_mismatch: true, differs: ["workspace"], policy });
    const answer = await finish(id, 3);
    expect(answer).toMatchObject({ outcome: "ok", reward: 0, trainable });
    expect(answer.flags).toContain("replay_mismatch");
  });
