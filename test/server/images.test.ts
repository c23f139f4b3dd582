import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { newJobId } from "../../core/ids.ts";
import { openImageBoard } from "../../platform/image-board.ts";
import { connectRedis } from "../../platform/redis.ts";
import { ROUTES, type RouteKey } from "../../server/auth/routes.ts";
import { root, run } from "../command.ts";
import { call, type Lab, openLab } from "./lab.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterAll(async () => {
  await lab?.[Symbol.asyncDispose]();
});

/** What each verb of `polygym image` calls. */
const VERBS: Readonly<Record<string, readonly RouteKey[]>> = {
  list: ["GET /v1/images"],
  build: ["POST /v1/images", "GET /v1/builds/:job_id", "GET /v1/images/:name/log"],
  logs: ["GET /v1/images/:name/log"],
  cancel: ["DELETE /v1/images/:name/build"],
  gc: ["POST /v1/images/gc", "GET /v1/builds/:job_id"],
};

test("every verb of polygym image has its routes, and they are the operator's", async () => {
  const { stdout } = await run([process.execPath, join(root, "cli/main.ts"), "image", "--help"], { env: process.env });
  const verbs = [...stdout.matchAll(/^ {2}([a-z]+) /gm)].map((match) => match[1]);
  expect(new Set(verbs)).toEqual(new Set(Object.keys(VERBS)));
  for (const routes of Object.values(VERBS)) for (const route of routes) expect(ROUTES[route]).toEqual(["operator"]);
});

test("a build is a job; one that waits is joined, an image that there is not is named", async () => {
  const token = await lab.token("operator");
  await using _worker = await lab.worker();
  const post = async (body: object) => (await call(lab, token, "POST", "/v1/images", { body })).body;
  const first = await post({ name: "python" });
  expect(first).toMatchObject({ kind: "build", state: "queued" });
  expect((await post({ name: "python" })).job_id).toBe(first.job_id);
  expect((await call(lab, token, "GET", `/v1/builds/${first.job_id}`)).body).toMatchObject({ state: "queued" });
  expect(await post({ name: "cobol" })).toMatchObject({ code: "not_found", hint: expect.stringContaining("python") });
  expect(await post({})).toMatchObject({ code: "invalid_request" });
  expect(await post({ name: "python", host: "elsewhere" })).toMatchObject({ code: "not_found" });
  const cancelled = await call(lab, token, "DELETE", "/v1/images/python/build");
  expect(cancelled.body).toEqual({ name: "python", cancelled: [first.job_id] });
  expect((await call(lab, token, "DELETE", "/v1/images/c/build")).body).toMatchObject({ code: "not_found" });
});

test("what machines say of images and builds is listed, and a log is read on", async () => {
  const token = await lab.token("operator");
  const redis = connectRedis(lab.redisUrl);
  const board = openImageBoard({ redis });
  const digest = `sha256:${"a".repeat(64)}`;
  const image = {
    name: "c",
    host: "here",
    digest,
    source: "packages" as const,
    bytes: 7,
    runtimes: {},
    built_at: 1,
    used_at: 1,
  };
  const build = { name: "go", host: "here", job_id: newJobId(), definition: null, at: 1 };
  await board.publish("one", [image]);
  await board.setBuild("one", { ...build, state: "failed", error: "no mirror" });
  await board.appendLog("one", "go", ["first", "second"]);
  const { body } = await call(lab, token, "GET", "/v1/images");
  expect(body).toMatchObject({
    items: [image],
    builds: [{ name: "go", state: "failed", error: "no mirror" }],
    next: null,
  });
  const log = await call(lab, token, "GET", "/v1/images/go/log?after=1");
  expect(log.body).toMatchObject({ state: "failed", lines: ["second"], next: 2, dropped: 0 });
  expect((await call(lab, token, "GET", "/v1/images/java/log")).body).toMatchObject({ code: "not_found" });
  expect((await call(lab, token, "GET", "/metrics")).text).toContain('polygym_image_bytes{host="here"} 7');
  redis.disconnect();
});
