import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bashStep } from "../../bench/actions.ts";
import { eventually, type Gym, startGym } from "../../bench/gym.ts";
import type { EpisodeAnswer, WhyAnswer } from "../../core/api.ts";
import { root, run } from "../command.ts";

/** What an operator does to workers and queues while episodes live in them. */
const DEADLINE_MS = 240_000;
/** Longer than a worker that stops waits for a running step. */
const LONG_STEP_S = 28;

let gym: Gym;
beforeAll(async () => {
  gym = await startGym({ workers: 2 });
}, DEADLINE_MS);
afterAll(async () => {
  await gym[Symbol.asyncDispose]();
}, DEADLINE_MS);

const create = (query = ""): Promise<EpisodeAnswer> =>
  gym.client.episode("POST", `/v1/episodes${query}`, {
    task_id: "demo/leap-year",
    framework: "anthropic.bash-editor",
  });
const step = (id: string, seq: number, command: string, query = ""): Promise<EpisodeAnswer> =>
  gym.client.episode("POST", `/v1/episodes/${id}/step${query}`, { seq, action: bashStep(command) });
const said = (answer: EpisodeAnswer): unknown => answer.observations[0]?.messages[0]?.content;
const why = async (subject: string): Promise<WhyAnswer> =>
  (await gym.client.request("GET", `/v1/${subject}/why`)) as WhyAnswer; // the server's own schema
const polygym = async (...args: string[]): Promise<string> => {
  const { exitCode, stdout, stderr } = await run([process.execPath, join(root, "cli/main.ts"), ...args], {
    env: { POLYGYM_HOME: gym.home, POLYGYM_URL: gym.url, POLYGYM_TOKEN: gym.token },
  });
  expect(exitCode, stdout + stderr).toBe(0);
  return stdout;
};

test("a draining worker parks its episodes, another goes on with them, and it takes jobs again when resumed", {
  timeout: DEADLINE_MS,
}, async () => {
  const ids = await Promise.all(Array.from({ length: 8 }, async () => (await create()).episode_id));
  await Promise.all(ids.map((id, i) => step(id, 1, `export MINE=${i}`)));
  const [first, second] = await gym.workers();
  if (first === undefined || second === undefined) throw new Error("two workers were asked for");
  expect(await polygym("worker", "drain", first.id)).toContain(`${first.id} on ${first.host}`);
  const seen = await gym.workers();
  expect(seen.find((worker) => worker.id === first.id)).toMatchObject({ state: "draining", live: 0, jobs: 0 });
  const answers = await Promise.all(ids.map((id) => step(id, 2, "echo $MINE")));
  expect(answers.map(said)).toEqual(ids.map((_, i) => String(i)));
  const others = await Promise.all(ids.map(async (id) => (await why(`episodes/${id}`)).worker));
  expect(others).not.toContain(first.id);
  expect(await polygym("worker", "resume", first.id)).toContain(`${first.id} is running`);
});

test("while every worker drains, a step waits and says why", { timeout: DEADLINE_MS }, async () => {
  const { episode_id: id } = await create();
  await step(id, 1, "echo kept > kept");
  await polygym("worker", "drain");
  const waiting = await step(id, 2, "cat kept", "?wait_s=1");
  expect(waiting).toMatchObject({ state: "parked", pending_reason: "draining" });
  expect(await why(`episodes/${id}`)).toMatchObject({
    pending_reason: "draining",
    what: expect.stringContaining("number 1 of 1 in the queue"),
    hint: expect.stringContaining("polygym worker resume"),
  });
  expect(await why("queues/episode")).toMatchObject({ state: "waiting", pending_reason: "draining" });
  expect(await create("?wait_s=0")).toMatchObject({ state: "queued", pending_reason: "draining" });
  await polygym("worker", "resume");
  expect(said(await step(id, 2, "cat kept"))).toBe("kept");
});

test("a paused queue starts nothing, says who waits where, and starts all when it is resumed", {
  timeout: DEADLINE_MS,
}, async () => {
  await polygym("queue", "pause", "episode");
  const made: EpisodeAnswer[] = [];
  for (let n = 0; n < 5; n++) made.push(await create("?wait_s=0"));
  expect(made.at(-1)).toMatchObject({ state: "queued", pending_reason: "paused" });
  for (const [index, { episode_id }] of made.entries())
    expect(await why(`episodes/${episode_id}`)).toMatchObject({
      pending_reason: "paused",
      what: expect.stringContaining(`number ${index + 1} of 5 in the queue`),
    });
  expect(await why("queues/episode")).toMatchObject({ state: "paused", pending_reason: "paused" });
  await polygym("queue", "resume", "episode");
  for (const { episode_id } of made)
    expect(await gym.client.episode("GET", `/v1/episodes/${episode_id}?wait_s=60`)).toMatchObject({ state: "ready" });
});

test("episodes that wait for the only place get it in the order in which they came", {
  timeout: DEADLINE_MS,
}, async () => {
  await using narrow = await startGym({ workers: 1, episodesPerWorker: 1 });
  const made: EpisodeAnswer[] = [];
  for (let n = 0; n < 6; n++)
    made.push(
      await narrow.client.episode("POST", "/v1/episodes?wait_s=0", {
        task_id: "demo/leap-year",
        framework: "anthropic.bash-editor",
      }),
    );
  const granted: number[] = [];
  for (const { episode_id } of made) {
    expect((await narrow.client.episode("GET", `/v1/episodes/${episode_id}?wait_s=60`)).observations).not.toEqual([]);
    const { items } = (await narrow.client.request("GET", `/v1/episodes/${episode_id}/trajectory`)) as {
      items: { type: string; at: number }[];
    };
    granted.push(items.find((event) => event.type === "term.granted")?.at ?? Number.NaN);
  }
  expect(granted).toEqual(granted.toSorted((a, b) => a - b));
});

test("scripts that are under way when their worker stops end elsewhere with their reward", {
  timeout: DEADLINE_MS,
}, async () => {
  const made = Array.from({ length: 24 }, () =>
    gym.client.episode("POST", "/v1/rollouts?wait_s=100", {
      task_id: "demo/leap-year",
      framework: "anthropic.bash-editor",
      policy: { script: "gold" },
      run: "stopped-scripts",
    }),
  );
  await eventually(async () => (await gym.workers()).some((worker) => worker.live > 0), DEADLINE_MS, "live scripts");
  for (const { pid } of await gym.workers()) process.kill(pid, "SIGTERM");
  expect((await Promise.all(made)).map((answer) => answer.reward)).toEqual(made.map(() => 1));
});

test("a step that outlasts the stop of its worker is run by the next one, and its episode is not ended", {
  timeout: DEADLINE_MS,
}, async () => {
  const { episode_id: id } = await create();
  const running = step(id, 1, `sleep ${LONG_STEP_S}; echo through`);
  await eventually(async () => (await why(`episodes/${id}`)).state === "running", DEADLINE_MS, "the step");
  for (const { pid } of await gym.workers()) process.kill(pid, "SIGTERM");
  expect(said(await running)).toBe("through");
});
