import { afterAll, beforeAll, expect, test } from "vitest";
import { EpisodeAnswer } from "../../core/api.ts";
import { newEpisodeId } from "../../core/ids.ts";
import { call, cell, type Lab, openLab, say } from "./lab.ts";
import type { LabWorker } from "./lab-worker.ts";

let lab: Lab;
let worker: LabWorker;
let trainer: string;

beforeAll(async () => {
  lab = await openLab();
  worker = await lab.worker();
  trainer = await lab.token("trainer");
});
afterAll(async () => {
  await worker?.[Symbol.asyncDispose]();
  await lab?.[Symbol.asyncDispose]();
});

const create = async (body: object = {}) => {
  const answer = await call(lab, trainer, "POST", "/v1/episodes", { body: { ...cell, ...body } });
  expect(answer.status).toBe(200);
  return EpisodeAnswer.parse(answer.body);
};
const step = (id: string, seq: number, action: object, token = trainer) =>
  call(lab, token, "POST", `/v1/episodes/${id}/step`, { body: { seq, action } });

test("creates an episode, steps it and answers its reward when it finishes", async () => {
  const made = await create({ run: "r1", labels: { a: "b" } });
  expect(made).toMatchObject({ state: "ready", run: "r1", answers: null, reward_status: "not_due", verdicts: [] });
  expect(made.observations[0]).toMatchObject({ conversation: "main", next_seq: 1, mode: "append", done: false });
  expect(made.environment.verifiers).toEqual(["exact"]);
  expect(made.limits).toMatchObject({ steps: 50, wall_s: 900 });

  const first = await step(made.episode_id, 1, say("hello"));
  expect(first.status).toBe(200);
  const observed = EpisodeAnswer.parse(first.body);
  expect(observed).toMatchObject({
    state: "ready",
    answers: { conversation: "main", seq: 1 },
    remaining: { steps: 49 },
  });
  expect(observed.observations[0]?.messages).toEqual([{ role: "user", content: "echo: hello" }]);

  const last = await call(lab, trainer, "POST", `/v1/episodes/${made.episode_id}/finish`, { body: { seq: 2 } });
  expect(EpisodeAnswer.parse(last.body)).toMatchObject({
    state: "done",
    answers: { seq: 2 },
    terminated: true,
    truncated: false,
    outcome: "ok",
    reward: 1,
    reward_status: "final",
    trainable: true,
    stop_reason: "submitted",
  });
});

test("a step sent again gets the same answer and runs once", async () => {
  const { episode_id: id } = await create();
  const first = await step(id, 1, say("once"));
  const again = await step(id, 1, say("once"));
  expect(again.body.observations).toEqual(first.body.observations);
  await call(lab, trainer, "POST", `/v1/episodes/${id}/finish`, { body: { seq: 2 } });
  const late = await step(id, 1, say("once"));
  expect(late.body).toMatchObject({ state: "done", reward: 1, answers: { seq: 1 } });
  expect(late.body.observations).toEqual(first.body.observations);
  expect(worker.ran.filter((ran) => ran === `${id} 1`)).toHaveLength(1);
});

test("two calls of the same running step join and get one answer", async () => {
  const { episode_id: id } = await create();
  const both = await Promise.all([step(id, 1, say("slow 300")), step(id, 1, say("slow 300"))]);
  expect(both.map((answer) => answer.status)).toEqual([200, 200]);
  expect(both[0]?.body.observations).toEqual(both[1]?.body.observations);
  expect(worker.ran.filter((ran) => ran === `${id} 1`)).toHaveLength(1);
});

test("the same number with another body is a conflict, a gap says the number that is due", async () => {
  const { episode_id: id } = await create();
  await step(id, 1, say("one"));
  expect((await step(id, 1, say("two"))).body).toMatchObject({ status: 409, code: "conflict" });
  expect((await step(id, 5, say("five"))).body).toMatchObject({
    status: 409,
    code: "seq_mismatch",
    hint: "send seq 2",
  });
});

test("a step after the end is refused as finished", async () => {
  const { episode_id: id } = await create();
  await call(lab, trainer, "POST", `/v1/episodes/${id}/finish`, { body: { seq: 1 } });
  expect((await step(id, 2, say("more"))).body).toMatchObject({ status: 409, code: "finished" });
});

test("an action of the other kind is refused and uses up no number", async () => {
  const { episode_id: id } = await create();
  expect((await step(id, 1, { text: "prose" })).body).toMatchObject({ status: 400, code: "invalid_request" });
  expect((await step(id, 1, say("fine"))).status).toBe(200);
});

test("a lost sandbox is an answer with an outcome, never a 5xx", async () => {
  const { episode_id: id } = await create();
  const answer = await step(id, 1, say("lost"));
  expect(answer.status).toBe(200);
  expect(answer.body).toMatchObject({
    state: "done",
    outcome: "infra_error",
    stop_reason: "sandbox_lost",
    reward: null,
    reward_status: "unavailable",
    trainable: false,
  });
  expect((await step(id, 2, say("next"))).body).toMatchObject({ state: "done", outcome: "infra_error" });
});

test("an answer that the worker never sent is read from the store", async () => {
  const { episode_id: id } = await create();
  const answer = await step(id, 1, say("silent"));
  expect(answer.body.observations[0].messages[0].content).toBe("echo: silent");
});

test("the same body joins by episode_id, another body or another token is a conflict", async () => {
  const episode_id = newEpisodeId();
  await create({ episode_id });
  await create({ episode_id });
  const other = { body: { ...cell, episode_id, seed: 5 } };
  expect((await call(lab, trainer, "POST", "/v1/episodes", other)).body.code).toBe("conflict");
  const stranger = await lab.token("trainer");
  const same = { body: { ...cell, episode_id } };
  expect((await call(lab, stranger, "POST", "/v1/episodes", same)).body.code).toBe("conflict");
});

test("respond-async answers at once and GET goes on waiting", async () => {
  const { episode_id: id } = await create();
  const at = performance.now();
  const answer = await call(lab, trainer, "POST", `/v1/episodes/${id}/step`, {
    body: { seq: 1, action: say("slow 1500") },
    headers: { prefer: "respond-async" },
  });
  expect(performance.now() - at).toBeLessThan(1_000);
  expect(answer.body.state).toBe("running");
  const later = await call(lab, trainer, "GET", `/v1/episodes/${id}?wait_s=20`);
  expect(later.body).toMatchObject({ state: "ready", answers: { seq: 1 } });
  expect(later.body.observations[0].messages[0].content).toBe("echo: slow 1500");
});

test("a waiting call sends a byte at least every 5 s", async () => {
  const { episode_id: id } = await create();
  const response = await fetch(`${lab.url}/v1/episodes/${id}/step`, {
    method: "POST",
    headers: { authorization: `Bearer ${trainer}`, "content-type": "application/json" },
    body: JSON.stringify({ seq: 1, action: say("slow 7000") }),
  });
  expect(response.status).toBe(200);
  const decoder = new TextDecoder();
  let text = "";
  let last = performance.now();
  let longest = 0;
  for await (const chunk of response.body ?? []) {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
    text += decoder.decode(chunk);
  }
  expect(text.startsWith("  {")).toBe(true);
  expect(longest).toBeLessThan(5_000);
  expect(EpisodeAnswer.parse(JSON.parse(text)).answers).toEqual({ conversation: "main", seq: 1 });
});

test("view=full gives each conversation whole, as one replacement with its tools", async () => {
  const { episode_id: id } = await create();
  await step(id, 1, say("a"));
  await step(id, 2, say("b"));
  const { body } = await call(lab, trainer, "GET", `/v1/episodes/${id}?view=full`);
  expect(body.observations).toHaveLength(1);
  expect(body.observations[0]).toMatchObject({ mode: "replace", next_seq: 3 });
  expect(body.observations[0].messages.map((m: { content: string }) => m.content)).toEqual([
    "write 42 into a.txt",
    "a",
    "echo: a",
    "b",
    "echo: b",
  ]);
  expect(body.observations[0].tools).toHaveLength(1);
});

test("cancels a live episode, and cancelling again answers the same", async () => {
  const { episode_id: id } = await create();
  const cancelled = await call(lab, trainer, "DELETE", `/v1/episodes/${id}`);
  expect(cancelled.body).toMatchObject({
    state: "done",
    outcome: "cancelled",
    stop_reason: "cancelled",
    reward: null,
    trainable: false,
  });
  expect((await call(lab, trainer, "DELETE", `/v1/episodes/${id}`)).body.outcome).toBe("cancelled");
});

test("lists episodes with counts over the whole filter", async () => {
  for (let i = 0; i < 3; i++) await create({ run: "listed", labels: { i: String(i) } });
  const page = await call(lab, trainer, "GET", "/v1/episodes?run=listed&limit=2");
  expect(page.body.items).toHaveLength(2);
  expect(page.body.counts).toMatchObject({ total: 3, state: { ready: 3 } });
  const rest = await call(
    lab,
    trainer,
    "GET",
    `/v1/episodes?run=listed&limit=2&after=${encodeURIComponent(page.body.next)}`,
  );
  expect(rest.body.items).toHaveLength(1);
  expect(rest.body.next).toBeNull();
  expect((await call(lab, trainer, "GET", "/v1/episodes?run=listed&label=i=1")).body.counts.total).toBe(1);
  const runs = await call(lab, trainer, "GET", "/v1/runs");
  expect(runs.body.items.find((run: { run: string }) => run.run === "listed").counts.total).toBe(3);
});

test("one bad item of a batch harms no other", async () => {
  const good = { ...cell, episode_id: newEpisodeId() };
  const made = await call(lab, trainer, "POST", "/v1/batch/episodes", {
    body: { items: [good, { task_id: "lab/none", framework: "lab.messages" }, 7] },
  });
  expect(made.body.items.map((item: { status: number }) => item.status)).toEqual([200, 404, 400]);
  expect(made.body.items[1].body.code).toBe("unknown_task");
  const steps = await call(lab, trainer, "POST", "/v1/batch/steps", {
    body: {
      items: [
        { episode_id: good.episode_id, seq: 1, action: say("x") },
        { episode_id: newEpisodeId(), seq: 1, action: say("x") },
      ],
    },
  });
  expect(steps.body.items.map((item: { status: number }) => item.status)).toEqual([200, 404]);
});

test("judges a submission without an episode, once per idempotency key", async () => {
  const body = { task_id: "lab/answer", submission: { files: { "a.txt": "42\n" } } };
  const headers = { "idempotency-key": "verify-1" };
  const first = await call(lab, trainer, "POST", "/v1/verify", { body, headers });
  expect(first.body).toMatchObject({ reward: 1, reward_status: "final", outcome: "ok" });
  expect((await call(lab, trainer, "POST", "/v1/verify", { body, headers })).body).toEqual(first.body);
  const other = { ...body, submission: { files: { "a.txt": "41\n" } } };
  expect((await call(lab, trainer, "POST", "/v1/verify", { body: other, headers })).body.code).toBe("conflict");
  expect((await call(lab, trainer, "POST", "/v1/verify", { body: other })).body.reward).toBe(0);
});

test("one client opens 256 episodes, then steps them in lockstep to the end", async () => {
  const items = Array.from({ length: 256 }, () => ({ ...cell, episode_id: newEpisodeId(), run: "lockstep" }));
  const made = await call(lab, trainer, "POST", "/v1/batch/episodes", { body: { items } });
  expect(made.body.items.every((item: { body: { state: string } }) => item.body.state === "ready")).toBe(true);
  const all = (seq: number, action: object) =>
    Promise.all(items.map(({ episode_id }) => step(episode_id, seq, action)));
  for (const seq of [1, 2]) expect((await all(seq, say("go"))).every((answer) => answer.status === 200)).toBe(true);
  const ended = await all(3, { finish: { reason: "submitted" } });
  expect(ended.filter((answer) => answer.body.reward === 1)).toHaveLength(256);
  const counts = (await call(lab, trainer, "GET", "/v1/episodes?run=lockstep&limit=1")).body.counts;
  expect(counts).toMatchObject({ total: 256, state: { done: 256 }, outcome: { ok: 256 } });
});
