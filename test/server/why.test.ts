import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connectRedis } from "../../platform/redis.ts";
import { root, run } from "../command.ts";
import { sampleRecord } from "../contract/store-samples.ts";
import { call, cell, type Lab, openLab, say } from "./lab.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterAll(async () => {
  await lab?.[Symbol.asyncDispose]();
});

const why = async (token: string, id: string) => (await call(lab, token, "GET", `/v1/episodes/${id}/why`)).body;
const whyQueue = async (token: string, name: string) => (await call(lab, token, "GET", `/v1/queues/${name}/why`)).body;

test("an episode that no worker takes says so, and so does its queue", async () => {
  const token = await lab.token("trainer");
  const { body } = await call(lab, token, "POST", "/v1/episodes?wait_s=0", { body: cell });
  expect(await why(token, body.episode_id)).toMatchObject({
    state: "queued",
    pending_reason: "no_worker",
    worker: null,
    since: expect.any(Number),
    hint: expect.stringContaining("polygym up"),
  });
  expect(await whyQueue(token, "episode")).toMatchObject({ state: "waiting", pending_reason: "no_worker" });
  expect(await whyQueue(token, "verify")).toMatchObject({ state: "idle", pending_reason: null });
  expect(await whyQueue(token, "cake")).toMatchObject({ status: 400 });
  await call(lab, token, "DELETE", `/v1/episodes/${body.episode_id}`);
  expect(await why(token, body.episode_id)).toMatchObject({
    state: "done",
    what: expect.stringContaining("cancelled"),
  });
});

test("an episode that waits for its policy names the step, one that is lost names the silent worker", async () => {
  const token = await lab.token("trainer");
  await using worker = await lab.worker();
  const { body } = await call(lab, token, "POST", "/v1/episodes", { body: cell });
  expect(body.state).toBe("ready");
  expect(await why(token, body.episode_id)).toMatchObject({
    state: "ready",
    worker: worker.id,
    what: expect.stringContaining("step 1"),
  });
  const lost = sampleRecord({ owner: "tok_x", run: "shared/a", state: "running", worker: "worker_gone", term: 1 });
  await lab.store.createEpisode(lost, lost.environment.task_version);
  expect(await why(token, lost.episode_id)).toMatchObject({
    state: "running",
    pending_reason: "recovering",
    worker: "worker_gone",
    what: expect.stringContaining("worker_gone"),
  });
});

test("only who sees all episodes reads what failed inside", async () => {
  const failure = { code: "sandbox_lost", stage: "boot", message: "inner words" };
  const ended = { state: "done", outcome: "infra_error", stop_reason: "sandbox_lost", ended_at: 5 } as const;
  const record = sampleRecord({ owner: "tok_x", run: "shared/b", failure, ...ended });
  await lab.store.createEpisode(record, record.environment.task_version);
  const asOperator = await why(await lab.token("operator"), record.episode_id);
  expect(asOperator).toMatchObject({ state: "done", since: 5, what: expect.stringContaining("inner words") });
  const asTrainer = await why(await lab.token("trainer"), record.episode_id);
  expect(asTrainer.what).not.toContain("inner words");
  expect(asTrainer.hint).toContain("our failure");
});

test("somebody else's episode has no why", async () => {
  const record = sampleRecord({ owner: "tok_x" });
  await lab.store.createEpisode(record, record.environment.task_version);
  expect(await why(await lab.token("trainer"), record.episode_id)).toMatchObject({ status: 404 });
});

test("a paused queue says so, also when Redis has forgotten it", async () => {
  const token = await lab.token("operator");
  const redis = connectRedis(lab.redisUrl);
  const paused = { state: "paused", pending_reason: "paused" };
  expect((await call(lab, token, "POST", "/v1/queues/import/pause")).body).toMatchObject(paused);
  expect(await redis.hexists("bull:import:meta", "paused")).toBe(1);
  await redis.hdel("bull:import:meta", "paused");
  expect(await whyQueue(token, "import")).toMatchObject(paused);
  await call(lab, token, "PUT", "/ops/queues/api/queues/import/resume");
  expect(await whyQueue(token, "import")).toMatchObject({ state: "idle" });
  await call(lab, token, "PUT", "/ops/queues/api/queues/import/pause");
  expect(await whyQueue(token, "import")).toMatchObject(paused);
  await call(lab, token, "POST", "/v1/queues/import/resume");
  expect(await redis.hexists("bull:import:meta", "paused")).toBe(0);
  redis.disconnect();
});

test("polygym why and top show the same in the terminal and as JSON", async () => {
  const token = await lab.token("operator");
  await using worker = await lab.worker();
  const { body } = await call(lab, token, "POST", "/v1/episodes", { body: cell });
  await call(lab, token, "POST", `/v1/episodes/${body.episode_id}/step`, {
    body: { conversation: "main", seq: 1, action: say("hello") },
  });
  const polygym = (...args: string[]) =>
    run([process.execPath, join(root, "cli/main.ts"), ...args], {
      env: { POLYGYM_HOME: lab.home, POLYGYM_URL: lab.url, POLYGYM_TOKEN: token, POLYGYM_REDIS_URL: undefined },
    });
  const told = await polygym("why", body.episode_id);
  expect(told.stdout).toContain(`${body.episode_id}: ready since`);
  expect(told.stdout).toContain(worker.id);
  expect(JSON.parse((await polygym("why", "episode", "--json")).stdout)).toMatchObject({ pending_reason: null });
  expect((await polygym("why", "ep_none")).exitCode).toBe(7);
  const seen = JSON.parse((await polygym("top", "--once", "--json")).stdout);
  expect(seen).toMatchObject({
    slots: { workers: 1, capacity: 1000 },
    queues: { episode: { active: 1 } },
    episodes: { state: { ready: 2 } },
    failures: { infra_error: 1, cancelled: 1 },
    workers: [{ id: worker.id, state: "running" }],
  });
  const shown = (await polygym("top", "--once")).stdout;
  for (const part of ["infra_error 1", worker.id, "queue", "of 1000 taken"]) expect(shown).toContain(part);
});
