import { expect } from "vitest";
import { newEpisodeId, sha256 } from "../../core/ids.ts";
import { ROUTES } from "../../server/auth/routes.ts";
import { call, cell, say } from "../server/lab.ts";
import { newEpisode, openWebSocket, raw, refusesAll, type ServerAttack, type ServerBench } from "./server-attacks.ts";

/** Callers who want what is not theirs. */

const guarded = Object.entries(ROUTES).filter(([, access]) => access !== "open");
const pathOf = (route: string): string =>
  route
    .replace(":id", newEpisodeId())
    .replace(":digest", sha256("x"))
    .replace(":queue", "episode")
    .replace(":job_id", "job_x")
    .replace(":token_id", "tok_x")
    .replace("*", "lab/answer");

/** Headers of somebody who has no token, or half of one. */
const credentials = (token: string): readonly string[] => [
  "",
  "authorization:\r\n",
  "authorization: null\r\n",
  "authorization: Bearer\r\n",
  "authorization: Bearer undefined\r\n",
  "authorization: Basic Og==\r\n",
  `authorization: ${token}\r\n`,
  `authorization: Token ${token}\r\n`,
  `authorization: Bearer ${token.slice(0, -1)}\r\n`,
  `authorization: Bearer ${token.toUpperCase()}\r\n`,
  `authorization: Bearer ${token},${token}\r\n`,
  `authorization: Bearer x\r\nauthorization: Bearer ${token}\r\n`,
  `x-authorization: Bearer ${token}\r\nx-forwarded-user: operator\r\nx-original-url: /health/live\r\n`,
  `cookie: polygym_session=${token}\r\n`,
  "cookie: polygym_session=tok_x.9999999999999.AAAA\r\n",
];

async function statusOf(url: string, text: string): Promise<number> {
  using socket = raw(url, text);
  const answer = await socket.closed;
  return Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]);
}

async function withoutToken({ lab, operator }: ServerBench): Promise<void> {
  for (const [route, access] of guarded) {
    const [method = "", url = ""] = route.split(" ");
    if (access === "socket") continue; // it may say later who it is: test/server/socket.test.ts
    const answers = credentials(operator).map((headers) =>
      statusOf(lab.url, `${method} ${pathOf(url)} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n${headers}\r\n`),
    );
    // 403: a cookie that came without this server's own origin, whatever it holds.
    for (const status of await Promise.all(answers))
      expect([route, [401, 403]]).toEqual([route, expect.arrayContaining([status])]);
  }
}

/** Spellings of a path that a guard could read as another than the router. */
const SPELLINGS = [
  "//v1/tokens",
  "/v1//tokens",
  "/v1/tokens/",
  "/v1/tokens.",
  "/V1/TOKENS",
  "/v1/%74okens",
  "/v1%2ftokens",
  "/v1/tokens%00",
  "/v1/tokens;x=y",
  "/v1/tokens?x=/health/live",
  "/health/live/../../v1/tokens",
  "/health/live/..%2f..%2fv1/tokens",
  "/health/live%2f..%2f..%2fv1%2ftokens",
  "http://x/v1/tokens",
  "/v1/tokens#/health/live",
  "/v1/tokens\\..\\..\\health\\live",
];

async function spelledOddly({ lab, trainer }: ServerBench): Promise<void> {
  for (const path of SPELLINGS)
    for (const method of ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE"])
      for (const token of ["", `authorization: Bearer ${trainer}\r\n`]) {
        const head = `${method} ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-http-method-override: GET\r\n${token}\r\n`;
        const status = await statusOf(lab.url, head);
        expect([path, method, [400, 401, 403, 404, 405].includes(status) || status]).toEqual([path, method, true]);
      }
}

/** Every route with an episode's id, asked by somebody else: as if it were not there. */
async function othersEpisodes(bench: ServerBench): Promise<void> {
  const { lab, trainer, stranger } = bench;
  const id = await newEpisode(bench, trainer, { run: "private", labels: { secret: "7f3a" } });
  await call(lab, trainer, "POST", `/v1/episodes/${id}/step`, { body: { seq: 1, action: say("big 70000") } });
  const absent = newEpisodeId();
  const bodies: Record<string, object> = {
    step: { seq: 2, action: say("x") },
    finish: { seq: 2 },
    fork: { n: 1 },
    rescore: {},
    snapshot: {},
  };
  for (const route of Object.keys(ROUTES).filter((one) => one.includes("/:id"))) {
    const [method = "", url = ""] = route.split(" ");
    const body = bodies[url.split("/").at(-1) ?? ""];
    const ask = async (which: string) => {
      const options = body === undefined ? {} : { body };
      const { status, text } = await call(lab, stranger, method, url.replace(":id", which), options);
      return [route, status, text.replaceAll(which, "ID")];
    };
    const answer = await ask(id);
    expect(answer).toEqual(await ask(absent)); // no word more than of one that never was
    expect(answer[1]).toBe(404);
  }
  for (const path of ["/v1/episodes", "/v1/episodes?run=private", "/v1/episodes?label=secret=7f3a", "/v1/runs"])
    expect((await call(lab, stranger, "GET", path)).text).not.toMatch(new RegExp(`${id}|7f3a"|"private"`));
  const joined = await call(lab, stranger, "POST", "/v1/episodes", { body: { ...cell, episode_id: id } });
  expect(joined.body.code).toBe("conflict");
}

async function blobsByName({ lab, trainer }: ServerBench): Promise<void> {
  const digest = await lab.store.putBlob(Buffer.from("content that nobody can guess 7f3a"));
  for (const part of [
    digest.slice(0, -1),
    `${digest.slice(0, -1)}*`,
    "*",
    "sha256:",
    `${digest}/..`,
    digest.toUpperCase(),
  ])
    expect((await call(lab, trainer, "GET", `/v1/blobs/${encodeURIComponent(part)}`)).status).toBeGreaterThanOrEqual(
      400,
    );
  for (const path of [
    "/v1/blobs",
    "/v1/blobs/",
    "/v1/blobs/..%2f..%2fetc%2fpasswd",
    "/v1/blobs/sha256:..",
    "/v1/blobs/%00",
  ])
    expect((await call(lab, trainer, "GET", path)).status).toBeGreaterThanOrEqual(400);
}

async function othersKeys({ lab, trainer, stranger }: ServerBench): Promise<void> {
  const headers = { "idempotency-key": "shared-key" };
  const of = (text: string) => ({ body: { task_id: "lab/answer", submission: { files: { "a.txt": text } } }, headers });
  expect((await call(lab, trainer, "POST", "/v1/verify", of("42\n"))).body.reward).toBe(1);
  expect((await call(lab, stranger, "POST", "/v1/verify", of("41\n"))).body.reward).toBe(0);
}

export const rightsAttacks: readonly ServerAttack[] = [
  {
    name: "no route answers a caller without a whole token",
    of: [41],
    control: { none: refusesAll },
    run: withoutToken,
  },
  {
    name: "no spelling of a path or method passes the guard",
    of: [41],
    control: { none: refusesAll },
    run: spelledOddly,
  },
  {
    name: "an episode of another tenant is as one that never was, on every route",
    of: [42],
    control: { none: refusesAll },
    run: othersEpisodes,
  },
  {
    name: "a blob is found by its whole digest only, which is as hard to guess as its content",
    of: [42],
    control: { none: refusesAll },
    run: blobsByName,
  },
  {
    name: "idempotency keys of two tenants have nothing to do with each other",
    of: [42],
    control: { none: "keys without an owner are nothing that the store can be asked for" },
    run: othersKeys,
  },
  {
    name: "a token in the address of a page or socket is no token",
    of: [40, 41],
    control: { none: refusesAll },
    run: async ({ lab, trainer }) => {
      for (const query of [`token=${trainer}`, `access_token=${trainer}`, `login=${trainer}`])
        expect((await call(lab, null, "GET", `/v1/tasks?${query}`)).status).toBe(401);
    },
  },
  {
    name: "a cookie opens no socket for a page from elsewhere",
    of: [40],
    control: { none: "the same cookie with this server's origin opens one, in test/server/socket.test.ts" },
    run: async ({ lab, trainer }) => {
      const login = (await call(lab, trainer, "POST", "/v1/logins", { body: {} })).body;
      const cookie = ((await call(lab, null, "GET", login.path)).headers.get("set-cookie") ?? "").split(";")[0] ?? "";
      const { host } = new URL(lab.url);
      for (const origin of [
        "http://evil.example",
        "null",
        "",
        `http://${host}.evil.example`,
        `http://evil.example/${host}`,
        `http://${host}@evil.example`,
        "file://",
      ])
        await expect(openWebSocket(lab, null, { cookie, origin })).rejects.toThrow("403");
      await expect(openWebSocket(lab, null, { cookie })).rejects.toThrow("403");
    },
  },
];
