import { afterAll, beforeAll, expect, test } from "vitest";
import * as api from "../../core/api.ts";
import { PROBLEM_STATUS, type ProblemCode, ProblemError } from "../../core/errors.ts";
import { EVENT_TYPES } from "../../core/events.ts";
import { Observation, ObservationInfo } from "../../core/messages.ts";
import { API_ROLES } from "../../core/records.ts";
import { ROUTES, type RouteKey } from "../../server/auth/routes.ts";
import { call, type Lab, openLab } from "./lab.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterAll(async () => {
  await lab?.[Symbol.asyncDispose]();
});

/** v viewer, t trainer, e evaluator, a author, o operator; open and socket as they are. */
const PINNED_ROUTES: Record<RouteKey, string> = {
  "GET /health/live": "open",
  "GET /health/ready": "open",
  "GET /health/startup": "open",
  "GET /v1/tasks": "vteao",
  "GET /v1/tasks/*": "vteao",
  "POST /v1/tasks": "ao",
  "GET /v1/frameworks": "vteao",
  "GET /v1/frameworks/*": "vteao",
  "GET /v1/verifiers": "vteao",
  "GET /v1/verifiers/*": "vteao",
  "GET /v1/matrix": "vteao",
  "GET /v1/capacity": "vteao",
  "GET /v1/workers": "vteao",
  "GET /v1/runs": "vteao",
  "POST /v1/workers/:worker/drain": "o",
  "POST /v1/workers/:worker/resume": "o",
  "GET /v1/queues/:queue/why": "vteao",
  "POST /v1/queues/:queue/pause": "o",
  "POST /v1/queues/:queue/resume": "o",
  "GET /v1/blobs/:digest": "vteao",
  "POST /v1/episodes": "teo",
  "GET /v1/episodes": "vteao",
  "GET /v1/episodes/:id": "vteao",
  "DELETE /v1/episodes/:id": "teao",
  "POST /v1/episodes/:id/step": "teo",
  "POST /v1/episodes/:id/finish": "teo",
  "POST /v1/episodes/:id/fork": "teo",
  "POST /v1/episodes/:id/snapshot": "teo",
  "POST /v1/episodes/:id/rescore": "teo",
  "GET /v1/episodes/:id/trajectory": "vteao",
  "GET /v1/episodes/:id/verdicts": "vteao",
  "GET /v1/episodes/:id/why": "vteao",
  "POST /v1/batch/episodes": "teo",
  "POST /v1/batch/steps": "teo",
  "POST /v1/batch/verify": "tao",
  "POST /v1/verify": "tao",
  "POST /v1/rollouts": "ao",
  "GET /v1/rollouts/:id": "vteao",
  "POST /v1/imports": "ao",
  "GET /v1/imports/:job_id": "ao",
  "POST /v1/validations": "ao",
  "GET /v1/validations/:job_id": "ao",
  "GET /v1/images": "o",
  "POST /v1/images": "o",
  "POST /v1/images/gc": "o",
  "GET /v1/images/:name/log": "o",
  "DELETE /v1/images/:name/build": "o",
  "GET /v1/builds/:job_id": "o",
  "POST /v1/tokens": "o",
  "GET /v1/tokens": "o",
  "DELETE /v1/tokens/:token_id": "o",
  "POST /v1/logins": "vteao",
  "GET /v1/ws": "socket",
  "GET /metrics": "vo",
  "GET /openapi.json": "vteao",
  "GET /episodes/:id": "vteao",
};

test("who may use which route is as pinned", () => {
  const shown = Object.fromEntries(
    Object.entries(ROUTES).map(([route, access]) => [
      route,
      typeof access === "string" ? access : [...access].map((role) => role[0]).join(""),
    ]),
  );
  const sorted = (roles: string) =>
    roles.length > 5 ? roles : ["v", "t", "e", "a", "o"].filter((r) => roles.includes(r)).join("");
  for (const [route, roles] of Object.entries(PINNED_ROUTES))
    expect(`${route} ${roles === "open" || roles === "socket" ? shown[route] : sorted(shown[route] ?? "")}`).toBe(
      `${route} ${roles}`,
    );
  expect(Object.keys(shown).sort()).toEqual(Object.keys(PINNED_ROUTES).sort());
});

const HIDDEN = ["GET /v1/ws", "GET /metrics", "GET /openapi.json", "GET /episodes/:id"];

test("/openapi.json lists exactly the routes there are, and every answer but problems is 200", async () => {
  const { body } = await call(lab, await lab.token("viewer"), "GET", "/openapi.json");
  const listed = Object.entries<Record<string, { responses: object }>>(body.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map(
      (method) =>
        `${method.toUpperCase()} ${path.replaceAll(/\{([^}]+)\}/g, (_, name) => (name === "*" ? "*" : `:${name}`))}`,
    ),
  );
  expect(listed.sort()).toEqual(
    Object.keys(ROUTES)
      .filter((route) => !HIDDEN.includes(route))
      .sort(),
  );
  const plain = Object.entries<Record<string, { responses: object }>>(body.paths)
    .filter(([path]) => !path.startsWith("/health") && !path.startsWith("/v1/blobs"))
    .flatMap(([, methods]) => Object.values(methods));
  for (const { responses } of plain) expect(Object.keys(responses)).toEqual(["200", "default"]);
});

test("every role that is not listed is refused on every route, and nobody gets in without a token", async () => {
  const tokens = new Map(await Promise.all(API_ROLES.map(async (role) => [role, await lab.token(role)] as const)));
  let looked = 0;
  for (const [route, access] of Object.entries(ROUTES)) {
    if (access === "open" || access === "socket") continue;
    const [method = "", pattern = ""] = route.split(" ");
    const path = pattern.replace(":id", "ep_none").replace(/:\w+/, "x").replace("*", "x");
    expect((await call(lab, null, method, path)).body).toMatchObject({ code: "unauthorized", status: 401 });
    for (const [role, token] of tokens) {
      looked++;
      const { body, status } = await call(lab, token, method, path, method === "POST" ? { body: {} } : {});
      const allowed: readonly string[] = access;
      expect(`${route} ${role} ${status === 403 ? body.code : "in"}`).toBe(
        `${route} ${role} ${allowed.includes(role) ? "in" : "forbidden"}`,
      );
    }
  }
  expect(looked).toBeGreaterThan(150);
});

test("what an observation carries is as pinned", () => {
  const optional = { tools: false, info: false };
  expect(Object.fromEntries(Object.keys(Observation.shape).map((key) => [key, !(key in optional)]))).toEqual({
    conversation: true,
    parent: true,
    next_seq: true,
    mode: true,
    messages: true,
    tools: false,
    done: true,
    info: false,
  });
  expect(Object.keys(ObservationInfo.shape)).toEqual(["processes_lost", "commands_lost"]);
});

test("types of events are as pinned", () => {
  expect(EVENT_TYPES).toEqual([
    "episode.created",
    "term.granted",
    "sandbox.opened",
    "framework.opened",
    "step.accepted",
    "tool.ran",
    "step.observed",
    "network.tried",
    "context.compacted",
    "episode.saved",
    "episode.parked",
    "episode.recovered",
    "submission.frozen",
    "verdict.recorded",
    "reward.committed",
    "episode.ended",
  ]);
});

test("codes of problems and their status are as pinned", () => {
  expect(PROBLEM_STATUS).toEqual({
    invalid_request: 400,
    unauthorized: 401,
    forbidden: 403,
    not_found: 404,
    unknown_task: 404,
    unknown_framework: 404,
    unknown_verifier: 404,
    conflict: 409,
    seq_mismatch: 409,
    finished: 409,
    payload_too_large: 413,
    invalid_cell: 422,
    capacity: 429,
    quota: 429,
    internal: 500,
    unavailable: 503,
  });
  for (const code of Object.keys(PROBLEM_STATUS) as ProblemCode[])
    expect(Object.keys(new ProblemError(code, "d", "h").toProblem())).toEqual([
      "type",
      "title",
      "status",
      "detail",
      "code",
      "retryable",
      "stage",
      "hint",
    ]);
});

test("no schema of an answer has a transform", () => {
  const seen = new Set<unknown>();
  const types = new Set<string>();
  const walk = (node: unknown): void => {
    if (typeof node !== "object" || node === null || seen.has(node)) return;
    seen.add(node);
    if ("_zod" in node) {
      const { def } = (node as { _zod: { def: { type: string } } })._zod;
      types.add(def.type);
      walk(def);
      return;
    }
    for (const part of Object.values(node)) walk(part);
  };
  for (const schema of [api.EpisodeAnswer, api.VerifyAnswer]) walk(schema);
  expect(seen.size).toBeGreaterThan(100);
  expect([...types].filter((type) => type === "transform" || type === "pipe")).toEqual([]);
});
