import { connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Problem } from "../../core/errors.ts";
import { call, cell, type Lab, openLab } from "./lab.ts";

let lab: Lab;
let trainer: string;
beforeAll(async () => {
  lab = await openLab();
  trainer = await lab.token("trainer");
});
afterAll(async () => {
  await lab?.[Symbol.asyncDispose]();
});

async function problem(
  method: string,
  path: string,
  options: Parameters<typeof call>[4] = {},
  token: string | null = trainer,
) {
  const answer = await call(lab, token, method, path, options);
  expect(answer.headers.get("content-type")).toContain("application/problem+json");
  const parsed = Problem.parse(answer.body);
  expect(parsed.status).toBe(answer.status);
  expect(parsed.hint.length).toBeGreaterThan(3);
  return parsed;
}

const raw = (body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string>, path = "/v1/episodes") =>
  fetch(`${lab.url}${path}`, { method: "POST", headers: { authorization: `Bearer ${trainer}`, ...headers }, body });

test("unknown task, framework and verifier name what was meant", async () => {
  const create = (body: object) => problem("POST", "/v1/episodes", { body: { ...cell, ...body } });
  expect(await create({ task_id: "lab/answr" })).toMatchObject({ code: "unknown_task", status: 404 });
  expect((await create({ task_id: "lab/answr" })).hint).toContain("did you mean lab/answer?");
  expect((await create({ framework: "lab.mesages" })).hint).toContain("lab.messages");
  expect(await create({ framework: "nope" })).toMatchObject({ code: "unknown_framework" });
  expect(await create({ verifiers: ["exakt"] })).toMatchObject({ code: "unknown_verifier" });
});

test("a cell that does not fit says why", async () => {
  expect(await problem("POST", "/v1/episodes", { body: { ...cell, framework: "lab.read-only" } })).toMatchObject({
    code: "invalid_cell",
    status: 422,
    detail: expect.stringContaining("cannot express write"),
  });
  expect(
    await problem("POST", "/v1/episodes", { body: { ...cell, framework_config: { depth: "deep" } } }),
  ).toMatchObject({
    code: "invalid_request",
    detail: expect.stringContaining("framework_config.depth"),
  });
});

test("a query parameter that does not exist, and a cursor that is none, are refused and not ignored", async () => {
  const misspelt = await problem("GET", "/v1/episodes?stat=done");
  expect(misspelt).toMatchObject({ code: "invalid_request", status: 400 });
  expect(misspelt.detail).toContain("stat");
  expect((await problem("GET", "/v1/episodes?after=garbage")).detail).toContain("not a cursor");
  expect(await problem("GET", "/v1/tasks?limit=0")).toMatchObject({ code: "invalid_request" });
});

test("bad JSON, no body, a wrong type, unknown fields and wrong values are invalid_request", async () => {
  const json = { "content-type": "application/json" };
  for (const response of [
    await raw("{not json", json),
    await raw("", json),
    await raw("a=1", { "content-type": "application/x-www-form-urlencoded" }),
    await raw('{"__proto__": {"x": 1}}', json),
    await raw('{"constructor": {"prototype": {"x": 1}}}', json),
    await raw(`${"[".repeat(100_000)}${"]".repeat(100_000)}`, json),
    await raw(JSON.stringify({ ...cell, surprise: 1 }), json),
    await raw(JSON.stringify({ ...cell, limits: { steps: -1 } }), json),
    await raw(JSON.stringify({ ...cell, episode_id: "ep_\r\nX" }), json),
  ]) {
    const body = Problem.parse(await response.json());
    expect(body).toMatchObject({ code: "invalid_request", status: 400 });
    expect(response.status).toBe(400);
  }
  expect(await problem("GET", "/v1/episodes?limit=many")).toMatchObject({ code: "invalid_request" });
});

test("a body over 8 MiB is payload_too_large, also for clients that write it all before they read", async () => {
  for (const mib of [8, 9, 40]) {
    const response = await raw(JSON.stringify({ x: "y".repeat(mib * 1024 * 1024) }), {
      "content-type": "application/json",
    });
    expect(response.status).toBe(413);
    expect(Problem.parse(await response.json()).code).toBe("payload_too_large");
  }
});

test("a run with control characters is refused", async () => {
  expect(await problem("POST", "/v1/episodes", { body: { ...cell, run: "a\u0000b" } })).toMatchObject({
    code: "invalid_request",
    detail: expect.stringContaining("no control characters"),
  });
});

test("a value that fits none of its forms hears what each form missed", async () => {
  expect(await problem("POST", "/v1/verify", { body: { task_id: cell.task_id, submission: {} } })).toMatchObject({
    code: "invalid_request",
    detail: expect.stringContaining("body.submission fits none of its forms (body.submission.patch"),
  });
});

test("a path that is none is not_found, but not for strangers", async () => {
  expect(await problem("GET", "/v1/nothing")).toMatchObject({ code: "not_found" });
  expect(await problem("PUT", "/v1/episodes")).toMatchObject({ code: "not_found" });
  expect(await problem("GET", "/v1/nothing", {}, null)).toMatchObject({ code: "unauthorized" });
});

test("a missing, wrong, empty or malformed token says where the token is", async () => {
  for (const header of [
    "",
    "Bearer",
    "Bearer ",
    "Basic abc",
    "Bearer null",
    `Bearer ${"x".repeat(5_000)}`,
    `Bearer ${trainer}x`,
  ]) {
    const body = await problem("GET", "/v1/tasks", { headers: { authorization: header } }, null);
    expect(body).toMatchObject({ code: "unauthorized", status: 401 });
    expect(body.hint).toContain("POLYGYM_HOME/token");
  }
  expect((await call(lab, null, "GET", "/v1/tasks", { headers: { authorization: `bearer ${trainer}` } })).status).toBe(
    200,
  );
  for (const path of ["//v1/tasks", "/v1/tasks/", "/v1%2ftasks", "/v1/./tasks/../tasks%00"])
    expect((await call(lab, null, "GET", path)).status).toBe(401);
});

test("what is not HTTP is answered as a problem, and huge headers are refused", async () => {
  const { port } = new URL(lab.url);
  const talk = (text: string) =>
    new Promise<string>((resolve, reject) => {
      const socket = connect(Number(port), "127.0.0.1", () => socket.write(text));
      let got = "";
      socket.on("data", (data) => {
        got += String(data);
      });
      socket.on("close", () => resolve(got));
      socket.on("error", reject);
    });
  expect(await talk("NONSENSE\r\n\r\n")).toContain("application/problem+json");
  expect(await talk(`GET / HTTP/1.1\r\nhost: x\r\nx: ${"y".repeat(20_000)}\r\n\r\n`)).toContain("headers have at most");
  expect((await call(lab, trainer, "GET", "/v1/tasks")).status).toBe(200);
});

test("without a worker an episode waits queued and says why", async () => {
  const { body } = await call(lab, trainer, "POST", "/v1/episodes?wait_s=0", { body: cell });
  expect(body).toMatchObject({ state: "queued", pending_reason: "no_worker", observations: [] });
  const held = await call(lab, trainer, "POST", `/v1/episodes/${body.episode_id}/step?wait_s=0.5`, {
    body: { seq: 1, action: { message: { role: "assistant", content: "x" } } },
  });
  expect(held.body).toMatchObject({ state: "queued", answers: null });
  const ready = await call(lab, null, "GET", "/health/ready");
  expect(ready.status).toBe(503);
  expect(ready.body.checks.find((check: { name: string }) => check.name === "workers").ok).toBe(false);
  expect((await call(lab, null, "GET", "/health/live")).body.status).toBe("ok");
});

test("a held step is answered when a worker comes", async () => {
  const { body } = await call(lab, trainer, "POST", "/v1/episodes?wait_s=0", { body: cell });
  const held = call(lab, trainer, "POST", `/v1/episodes/${body.episode_id}/step`, {
    body: { seq: 1, action: { message: { role: "assistant", content: "early" } } },
  });
  await using _worker = await lab.worker();
  expect((await held).body).toMatchObject({ state: "ready", answers: { seq: 1 } });
});

test("what goes wrong after spaces were sent is a 200 with the problem", async () => {
  const gate = Promise.withResolvers<void>();
  await using _worker = await lab.worker({ bootGate: gate.promise });
  const { body } = await call(lab, trainer, "POST", "/v1/episodes?wait_s=0", { body: cell });
  const late = raw(
    JSON.stringify({ seq: 9, action: { message: { role: "assistant", content: "x" } } }),
    { "content-type": "application/json" },
    `/v1/episodes/${body.episode_id}/step`,
  );
  const response = await late;
  gate.resolve();
  const text = await response.text();
  expect(response.status).toBe(200);
  expect(text.startsWith(" ")).toBe(true);
  expect(Problem.parse(JSON.parse(text))).toMatchObject({ code: "seq_mismatch", status: 409 });
});

test("a request that comes while the server stops is told so as a problem that may be tried again", async () => {
  await using own = await openLab();
  const token = await own.token("trainer");
  // A client that does not answer the close keeps the server from its end for a second.
  const deaf = connect(Number(new URL(own.url).port), "127.0.0.1");
  deaf.write(
    `GET /v1/ws HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
  );
  const client = connect(Number(new URL(own.url).port), "127.0.0.1");
  const get = (): boolean =>
    client.write(`GET /v1/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`);
  let said = "";
  client.on("data", (data: Buffer) => {
    said += data.toString();
  });
  get();
  await expect.poll(() => said).toContain("200 OK");
  await expect.poll(() => own.app.websocketServer.clients.size).toBe(1);
  said = "";
  const closing = own.app.close();
  get();
  await expect.poll(() => said).toContain("\r\n\r\n{");
  const [head = "", body = ""] = said.split("\r\n\r\n");
  expect(head).toContain("503");
  expect(head).toContain("application/problem+json");
  expect(Problem.parse(JSON.parse(body))).toMatchObject({ code: "unavailable", retryable: true });
  deaf.destroy();
  client.destroy();
  await closing;
});
