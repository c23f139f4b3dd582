import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ensureOperatorToken } from "../../server/auth/operator-token.ts";
import { call, cell, type Lab, openLab, say } from "./lab.ts";
import type { LabWorker } from "./lab-worker.ts";

let lab: Lab;
let worker: LabWorker;
beforeAll(async () => {
  lab = await openLab();
  worker = await lab.worker();
});
afterAll(async () => {
  await worker?.[Symbol.asyncDispose]();
  await lab?.[Symbol.asyncDispose]();
});

const start = async (token: string, body: object = {}) =>
  (await call(lab, token, "POST", "/v1/episodes", { body: { ...cell, ...body } })).body;
const finished = async (token: string, body: object = {}) => {
  const { episode_id: id } = await start(token, body);
  await call(lab, token, "POST", `/v1/episodes/${id}/step`, { body: { seq: 1, action: say("hi") } });
  await call(lab, token, "POST", `/v1/episodes/${id}/finish`, { body: { seq: 2 } });
  return id as string;
};

test("sealed things do not exist for anybody but evaluators", async () => {
  const sealed = { ...cell, task_id: "lab/hidden" };
  for (const role of ["trainer", "operator"] as const) {
    const token = await lab.token(role);
    expect((await call(lab, token, "GET", "/v1/tasks/lab/hidden")).body.code).toBe("unknown_task");
    expect((await call(lab, token, "GET", "/v1/frameworks/lab.secret")).body.code).toBe("unknown_framework");
    expect((await call(lab, token, "POST", "/v1/episodes", { body: sealed })).body.code).toBe("unknown_task");
    expect(
      (await call(lab, token, "POST", "/v1/episodes", { body: { ...cell, verifiers: ["sealed-one"] } })).body.code,
    ).toBe("unknown_verifier");
    for (const path of ["/v1/tasks", "/v1/frameworks", "/v1/verifiers", "/v1/matrix"])
      expect((await call(lab, token, "GET", path)).text).not.toMatch(/hidden|secret|sealed-one/);
  }
  const evaluator = await lab.token("evaluator");
  expect((await call(lab, evaluator, "GET", "/v1/tasks/lab/hidden")).status).toBe(200);
  const id = await finished(evaluator, sealed);
  expect((await call(lab, evaluator, "GET", `/v1/episodes/${id}`)).body.environment.split).toBe("sealed");
  for (const role of ["viewer", "operator", "trainer"] as const) {
    const token = await lab.token(role);
    for (const path of ["", "/trajectory", "/verdicts"])
      expect((await call(lab, token, "GET", `/v1/episodes/${id}${path}`)).body.code).toBe("not_found");
    expect((await call(lab, token, "GET", "/v1/episodes")).text).not.toContain(id);
  }
});

test("a trainer does not act on held-out environments", async () => {
  const token = await lab.token("trainer");
  expect(
    (await call(lab, token, "POST", "/v1/episodes", { body: { ...cell, task_id: "lab/held-out" } })).body.code,
  ).toBe("forbidden");
  const verify = { task_id: "lab/held-out", submission: { files: {} } };
  expect((await call(lab, token, "POST", "/v1/verify", { body: verify })).body.code).toBe("forbidden");
});

test("a trainer sees its own episodes and shared runs; viewers and operators see all", async () => {
  const [mine, other, viewer, operator] = await Promise.all([
    lab.token("trainer"),
    lab.token("trainer"),
    lab.token("viewer"),
    lab.token("operator"),
  ]);
  const { episode_id: id } = await start(mine, { run: "private" });
  const { episode_id: shared } = await start(mine, { run: "shared/team" });
  expect((await call(lab, other, "GET", `/v1/episodes/${id}`)).body.code).toBe("not_found");
  expect(
    (await call(lab, other, "POST", `/v1/episodes/${id}/step`, { body: { seq: 1, action: say("x") } })).body.code,
  ).toBe("not_found");
  expect((await call(lab, other, "DELETE", `/v1/episodes/${id}`)).body.code).toBe("not_found");
  expect((await call(lab, other, "GET", "/v1/episodes")).body.counts.total).toBe(0);
  expect((await call(lab, other, "GET", `/v1/episodes/${shared}`)).status).toBe(200);
  expect((await call(lab, other, "GET", "/v1/episodes?run=shared/team")).body.counts.total).toBe(1);
  expect((await call(lab, other, "DELETE", `/v1/episodes/${shared}`)).body.code).toBe("forbidden");
  for (const token of [viewer, operator])
    expect((await call(lab, token, "GET", `/v1/episodes/${id}`)).status).toBe(200);
  expect((await call(lab, operator, "DELETE", `/v1/episodes/${id}`)).body.outcome).toBe("cancelled");
});

test("a trainer's view has train verdicts only and numbers without gaps", async () => {
  const trainer = await lab.token("trainer");
  const id = await finished(trainer);
  const answer = (await call(lab, trainer, "GET", `/v1/episodes/${id}`)).body;
  expect(answer.verdicts.map((v: { verifier: string }) => v.verifier)).toEqual(["exact"]);
  expect(answer.flags).toEqual([]);
  const { body } = await call(lab, trainer, "GET", `/v1/episodes/${id}/trajectory`);
  expect(body.items.map((event: { n: number }) => event.n)).toEqual(body.items.map((_: unknown, i: number) => i));
  expect(JSON.stringify(body)).not.toMatch(/shadowed|sealed-one|"seed":7\b/);
  expect(body.items.at(-1).type).toBe("episode.ended");
  const half = (await call(lab, trainer, "GET", `/v1/episodes/${id}/trajectory?max_bytes=1`)).body;
  expect(half).toMatchObject({ next: 0 });
  const viewer = (await call(lab, await lab.token("viewer"), "GET", `/v1/episodes/${id}`)).body;
  expect(viewer.verdicts.map((v: { verifier: string }) => v.verifier)).toEqual(["exact", "shadowed"]);
  const evaluator = await lab.token("evaluator", "operator");
  expect((await call(lab, evaluator, "GET", `/v1/episodes/${id}/verdicts`)).body.items).toHaveLength(3);
});

test("scripts are for authors, and what they did is not for trainers", async () => {
  const [author, trainer, viewer] = await Promise.all([lab.token("author"), lab.token("trainer"), lab.token("viewer")]);
  const body = { ...cell, run: "shared/gold", policy: { script: "gold" } };
  expect((await call(lab, trainer, "POST", "/v1/rollouts", { body })).body.code).toBe("forbidden");
  const done = (await call(lab, author, "POST", "/v1/rollouts", { body })).body;
  expect(done).toMatchObject({ state: "done", reward: 1 });
  const path = `/v1/episodes/${done.episode_id}`;
  for (const token of [trainer, viewer]) {
    expect((await call(lab, token, "GET", path)).status).toBe(200);
    expect((await call(lab, token, "GET", `${path}/trajectory`)).body.code).toBe("not_found");
    expect((await call(lab, token, "GET", `/episodes/${done.episode_id}`)).text).toContain("for authors and operators");
  }
  expect((await call(lab, author, "GET", `${path}/trajectory`)).body.items.length).toBeGreaterThan(3);
  const none = { ...body, policy: { script: "cheat", variant: "no-such" } };
  expect((await call(lab, author, "POST", "/v1/rollouts", { body: none })).body).toMatchObject({
    code: "invalid_cell",
    hint: "choose from: hard-coded",
  });
  expect((await call(lab, author, "GET", "/v1/tasks/lab/answer")).body.scripts.cheat).toEqual(["hard-coded"]);
  expect((await call(lab, trainer, "GET", "/v1/tasks/lab/answer")).body.scripts).toBeUndefined();
});

test("tokens are made, shown once, repeated by key and revoked", async () => {
  const operator = await lab.token("operator");
  const make = (body: object, key?: string) =>
    call(lab, operator, "POST", "/v1/tokens", {
      body,
      ...(key === undefined ? {} : { headers: { "idempotency-key": key } }),
    });
  const made = (await make({ role: "viewer", name: "eyes" })).body;
  expect(made.token).toMatch(/^pg_viewer_/);
  expect((await call(lab, operator, "GET", "/v1/tokens")).text).not.toContain(made.token);
  expect((await call(lab, made.token, "GET", "/v1/tasks")).status).toBe(200);
  const keyed = (await make({ role: ["trainer", "author"] }, "k1")).body;
  expect((await make({ role: ["trainer", "author"] }, "k1")).body.token).toBe(keyed.token);
  expect((await make({ role: "viewer" }, "k1")).body.code).toBe("conflict");
  expect((await call(lab, operator, "DELETE", `/v1/tokens/${made.id}`)).body.revoked).toBe(true);
  expect((await call(lab, made.token, "GET", "/v1/tasks")).body.code).toBe("unauthorized");
});

test("the first operator token is made once, 0600, and kept", async () => {
  const home = join(lab.home, "fresh");
  const path = await ensureOperatorToken(lab.store, home);
  const token = (await readFile(path, "utf8")).trim();
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect((await call(lab, token, "GET", "/v1/tokens")).status).toBe(200);
  await ensureOperatorToken(lab.store, home);
  expect((await readFile(path, "utf8")).trim()).toBe(token);
});

test("a one-time link logs a browser in, and its cookie does not act for other pages", async () => {
  const viewer = await lab.token("viewer", "trainer");
  const { episode_id: id } = await start(viewer, { labels: { note: "<script>alert(1)</script>" } });
  const login = (await call(lab, viewer, "POST", "/v1/logins", { body: { path: `/episodes/${id}` } })).body;
  const opened = await call(lab, null, "GET", login.path);
  expect(opened.status).toBe(200);
  const set = opened.headers.get("set-cookie") ?? "";
  expect(set).toMatch(/HttpOnly/);
  expect(set).toMatch(/SameSite=Strict/);
  expect(opened.text).toContain(`url=/episodes/${id}"`);
  const cookie = set.split(";")[0] ?? "";
  const page = await call(lab, null, "GET", `/episodes/${id}`, { headers: { cookie } });
  expect(page.status).toBe(200);
  expect(page.headers.get("content-security-policy")).toContain("default-src 'self'");
  expect(page.text).not.toContain("<script");
  expect((await call(lab, null, "GET", login.path)).status).toBe(401);
  expect((await call(lab, null, "GET", login.path, { headers: { cookie } })).status).toBe(200);
  const forged = cookie.replace(/.$/, (c) => (c === "A" ? "B" : "A"));
  expect((await call(lab, null, "GET", `/episodes/${id}`, { headers: { cookie: forged } })).status).toBe(401);
  const cross = { cookie, origin: "http://evil.example" };
  expect((await call(lab, null, "POST", "/v1/episodes", { body: cell, headers: cross })).body.code).toBe("forbidden");
  const own = { cookie, origin: lab.url };
  expect((await call(lab, null, "POST", "/v1/episodes", { body: cell, headers: own })).status).toBe(200);
});

test("docs, the queue board, metrics and health open with a token", async () => {
  const operator = await lab.token("operator");
  const docs = await call(lab, operator, "GET", "/docs/");
  expect(docs.status).toBe(200);
  expect(docs.headers.get("content-security-policy")).toContain("default-src 'self'");
  expect((await call(lab, operator, "GET", "/docs/json")).body.info.title).toBe("polygym");
  expect((await call(lab, operator, "GET", "/ops/queues")).text).toContain("polygym queues");
  const queues = await call(lab, operator, "GET", "/ops/queues/api/queues?activeQueue=episode&status=completed");
  expect(queues.status).toBe(200);
  expect(JSON.stringify(queues.body)).toContain("/episodes/ep_");
  expect((await call(lab, await lab.token("viewer"), "GET", "/ops/queues/api/queues")).status).toBe(403);
  const metrics = await call(lab, operator, "GET", "/metrics");
  expect(metrics.text).toMatch(/polygym_workers\{state="running"\} 1/);
  expect(metrics.text).toMatch(/polygym_http_requests_seconds_count/);
  expect((await call(lab, null, "GET", "/health/ready")).body.status).toBe("ok");
  expect((await call(lab, operator, "GET", "/v1/capacity")).body).toMatchObject({ workers: 1, capacity: 1000 });
});

test("imports and validations start a job that its owner can poll", async () => {
  const author = await lab.token("author");
  const upload = (format: string, body: string) =>
    fetch(`${lab.url}/v1/imports?format=${format}`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${author}`,
        "content-type": "application/json",
        "idempotency-key": `up-${format}`,
      },
      body,
    }).then(async (response) => JSON.parse(await response.text()));
  const job = await upload("humaneval", '{"task_id": 1}\n');
  expect(job).toMatchObject({ kind: "import", state: "queued", done: 0, total: null });
  expect((await upload("humaneval", '{"task_id": 1}\n')).job_id).toBe(job.job_id);
  expect(await upload("humanevil", "x")).toMatchObject({
    code: "invalid_request",
    hint: expect.stringContaining("did you mean humaneval?"),
  });
  expect((await call(lab, author, "GET", `/v1/imports/${job.job_id}`)).body.state).toBe("queued");
  expect((await call(lab, await lab.token("author"), "GET", `/v1/imports/${job.job_id}`)).body.code).toBe("not_found");
  const validate = (tasks: string[]) => call(lab, author, "POST", "/v1/validations", { body: { tasks } });
  expect((await validate(["lab/*"])).body).toMatchObject({ kind: "validation", state: "queued" });
  expect((await validate(["none/*"])).body.code).toBe("unknown_task");
});
