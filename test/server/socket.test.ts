import { connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";
import { EpisodeAnswer } from "../../core/api.ts";
import { newEpisodeId } from "../../core/ids.ts";
import { call, cell, type Lab, type Loose, openLab, say } from "./lab.ts";
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

type Frame = Loose;

interface Client extends Disposable {
  readonly socket: WebSocket;
  readonly frames: Frame[];
  readonly closed: Promise<number>;
  /** Sends an op and gives its answer. */
  ask(op: string, body?: object): Promise<Frame>;
  /** The first frame, come or to come, that fits. */
  frame(fits: (frame: Frame) => boolean): Promise<Frame>;
}

async function open(token: string | null, headers: Record<string, string> = {}): Promise<Client> {
  const auth = token === null ? {} : { authorization: `Bearer ${token}` };
  const socket = new WebSocket(`${lab.url.replace("http", "ws")}/v1/ws`, { headers: { ...auth, ...headers } });
  const frames: Frame[] = [];
  const waiting = new Set<() => void>();
  socket.on("message", (data) => {
    frames.push(JSON.parse(Buffer.isBuffer(data) ? data.toString() : "null"));
    for (const look of waiting) look();
  });
  const closing = Promise.withResolvers<number>();
  socket.on("close", (code) => closing.resolve(code));
  const opening = Promise.withResolvers<void>();
  socket.once("open", () => opening.resolve());
  socket.on("error", (error) => opening.reject(error));
  await opening.promise;
  const frame = (fits: (frame: Frame) => boolean): Promise<Frame> => {
    const found = Promise.withResolvers<Frame>();
    const timer = setTimeout(
      () => found.reject(new Error(`no such frame in ${JSON.stringify(frames).slice(0, 2_000)}`)),
      20_000,
    );
    const look = () => {
      const hit = frames.find(fits);
      if (hit === undefined) return;
      clearTimeout(timer);
      waiting.delete(look);
      found.resolve(hit);
    };
    waiting.add(look);
    look();
    return found.promise;
  };
  let next = 0;
  return {
    socket,
    frames,
    closed: closing.promise,
    frame,
    ask: (op, body = {}) => {
      const id = `r${next++}`;
      socket.send(JSON.stringify({ id, op, ...body }));
      return frame((one) => one.id === id);
    },
    [Symbol.dispose]: () => socket.terminate(),
  };
}

test("creates, steps and finishes over one socket, and tells of it", async () => {
  using client = await open(trainer);
  const made = await client.ask("create", cell);
  expect(made.ok).toBe(true);
  const { episode_id } = EpisodeAnswer.parse(made.result);
  const stepped = await client.ask("step", { episode_id, seq: 1, action: say("over ws") });
  expect(EpisodeAnswer.parse(stepped.result).observations[0]?.messages[0]?.content).toBe("echo: over ws");
  const ended = await client.ask("finish", { episode_id, seq: 2 });
  expect(ended.result).toMatchObject({ state: "done", reward: 1 });
  const seen = await client.frame(
    (frame) => frame.event === "observation" && frame.episode_id === episode_id && frame.observation.next_seq === 2,
  );
  expect(seen.cursor).toBeGreaterThan(0);
  const done = await client.frame((frame) => frame.event === "done" && frame.episode_id === episode_id);
  expect(done.result).toMatchObject({ reward: 1, verdicts: [{ verifier: "exact" }] });
  expect((await client.ask("ping")).result.pong).toBeGreaterThan(0);
});

test("hundreds of episodes act at once over one socket", async () => {
  using client = await open(trainer);
  const ids = Array.from({ length: 200 }, () => newEpisodeId());
  const made = await Promise.all(ids.map((episode_id) => client.ask("create", { ...cell, episode_id })));
  expect(made.filter((frame) => frame.result?.state === "ready")).toHaveLength(200);
  const stepped = await Promise.all(
    ids.map((episode_id) => client.ask("step", { episode_id, seq: 1, action: say("x") })),
  );
  expect(stepped.filter((frame) => frame.ok)).toHaveLength(200);
});

test("attach replays what came after a cursor, and a closed socket ends nothing", async () => {
  const first = await open(trainer);
  const { episode_id } = (await first.ask("create", cell)).result;
  const before = await first.ask("step", { episode_id, seq: 1, action: say("one") });
  expect(before.ok).toBe(true);
  const { cursor } = await first.frame((frame) => frame.event === "observation" && frame.observation.next_seq === 2);
  await first.ask("step", { episode_id, seq: 2, action: say("two") });
  first.socket.send(JSON.stringify({ id: "last", op: "step", episode_id, seq: 3, action: say("slow 500") }));
  await first.frame((frame) => frame.event === "observation" && frame.observation.next_seq === 3);
  first[Symbol.dispose]();

  using second = await open(trainer);
  const attached = await second.ask("attach", { episode_id, after: cursor, wait_s: 20, view: "full" });
  expect(attached.result).toMatchObject({ state: "ready", answers: { seq: 3 } });
  expect(attached.result.observations[0].messages).toHaveLength(7);
  await second.frame((frame) => frame.event === "observation" && frame.observation.next_seq === 4);
  const cursors = second.frames
    .filter((frame) => frame.event === "observation")
    .map((frame) => frame.observation.next_seq);
  expect(cursors).toEqual([3, 4]);
});

test("subscribe tells of the episodes of a run, and of those that ended before", async () => {
  const { body } = await call(lab, trainer, "POST", "/v1/episodes", { body: { ...cell, run: "watched" } });
  await call(lab, trainer, "POST", `/v1/episodes/${body.episode_id}/finish`, { body: { seq: 1 } });
  using client = await open(trainer);
  expect((await client.ask("subscribe", { run: "watched", after: "" })).ok).toBe(true);
  const old = await client.frame((frame) => frame.event === "done" && frame.episode_id === body.episode_id);
  expect(old).toMatchObject({ result: { reward: 1 }, delivery: expect.any(String) });
  const other = (await call(lab, trainer, "POST", "/v1/episodes", { body: { ...cell, run: "unwatched" } })).body;
  const live = (await call(lab, trainer, "POST", "/v1/episodes", { body: { ...cell, run: "watched" } })).body;
  await call(lab, trainer, "POST", `/v1/episodes/${live.episode_id}/finish`, { body: { seq: 1 } });
  await client.frame((frame) => frame.event === "done" && frame.episode_id === live.episode_id);
  expect(client.frames.some((frame) => frame.episode_id === other.episode_id)).toBe(false);
});

test("another token hears nothing and may not attach", async () => {
  const { body } = await call(lab, trainer, "POST", "/v1/episodes", { body: { ...cell, run: "secret-run" } });
  using stranger = await open(await lab.token("trainer"));
  await stranger.ask("subscribe", { all: true });
  expect((await stranger.ask("attach", { episode_id: body.episode_id })).problem.code).toBe("not_found");
  expect((await stranger.ask("step", { episode_id: body.episode_id, seq: 1, action: say("x") })).problem.code).toBe(
    "not_found",
  );
  await call(lab, trainer, "POST", `/v1/episodes/${body.episode_id}/finish`, { body: { seq: 1 } });
  await stranger.ask("ping");
  expect(stranger.frames.filter((frame) => frame.event !== undefined)).toEqual([]);
});

test("a socket without a header must say who it is first", async () => {
  using client = await open(null);
  expect((await client.ask("get", { episode_id: newEpisodeId() })).problem.code).toBe("unauthorized");
  expect((await client.ask("auth", { token: "pg_trainer_nonsense" })).problem.code).toBe("unauthorized");
  expect((await client.ask("auth", { token: trainer })).result.roles).toEqual(["trainer"]);
  expect((await client.ask("create", cell)).ok).toBe(true);
});

test("a wrong header, and a cookie from another page, are refused at the door", async () => {
  await expect(open("pg_trainer_wrongwrongwrongwrongwrong")).rejects.toThrow("401");
  const login = (await call(lab, trainer, "POST", "/v1/logins", { body: {} })).body;
  const cookie = ((await call(lab, null, "GET", login.path)).headers.get("set-cookie") ?? "").split(";")[0] ?? "";
  await expect(open(null, { cookie, origin: "http://evil.example" })).rejects.toThrow("403");
  using own = await open(null, { cookie, origin: lab.url });
  expect((await own.ask("create", cell)).ok).toBe(true);
});

test("a revoked token's socket is refused with its next frame", async () => {
  const operator = await lab.token("operator");
  const made = (await call(lab, operator, "POST", "/v1/tokens", { body: { role: "trainer" } })).body;
  using client = await open(made.token);
  expect((await client.ask("create", cell)).ok).toBe(true);
  await call(lab, operator, "DELETE", `/v1/tokens/${made.id}`);
  expect((await client.ask("create", cell)).problem.code).toBe("unauthorized");
});

test("bad frames are typed problems and the socket stays", async () => {
  using client = await open(trainer);
  client.socket.send("{nonsense");
  expect((await client.frame((frame) => frame.id === null && frame.problem.detail.includes("JSON"))).problem.code).toBe(
    "invalid_request",
  );
  client.socket.send(`{"id":"deep","op":"ping","x":${"[".repeat(50_000)}${"]".repeat(50_000)}}`);
  await client.frame((frame) => frame.problem?.detail.includes("levels"));
  client.socket.send('{"id":"p","op":"ping","__proto__":{"x":1}}');
  await client.frame((frame) => frame.problem?.detail.includes("forbidden prototype"));
  expect((await client.ask("dance")).problem.hint).toContain("one of auth, create, step");
  expect((await client.ask("step", { episode_id: "ep_x", seq: 0, action: {} })).problem).toMatchObject({
    code: "invalid_request",
  });
  client.socket.send(Buffer.from("bytes"));
  await client.frame((frame) => frame.problem?.detail === "frames are text");
  expect((await client.ask("ping")).ok).toBe(true);
});

test("a frame over 8 MiB closes with 1009", async () => {
  using client = await open(trainer);
  client.socket.send(JSON.stringify({ id: "big", op: "ping", x: "y".repeat(9 * 1024 * 1024) }));
  expect(await client.closed).toBe(1009);
});

test("values of ours over 1 MiB come by reference", async () => {
  using client = await open(trainer);
  const { episode_id } = (await client.ask("create", cell)).result;
  const { result } = await client.ask("step", { episode_id, seq: 1, action: say("big 1500000") });
  expect(result.observations).toMatchObject({
    ref: expect.stringMatching(/^\/v1\/blobs\/sha256:/),
    bytes: expect.any(Number),
  });
  const blob = await call(lab, trainer, "GET", result.observations.ref);
  expect(JSON.parse(blob.text)[0].messages[0].content).toHaveLength(1_500_000);
  expect(result.state).toBe("ready");
});

test("a reader that takes nothing is closed, and the server goes on", async () => {
  const { port } = new URL(lab.url);
  const raw = connect(Number(port), "127.0.0.1");
  const key = Buffer.from("0123456789abcdef").toString("base64");
  raw.write(
    `GET /v1/ws HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: ${key}\r\nauthorization: Bearer ${trainer}\r\n\r\n`,
  );
  await new Promise((resolve) => raw.once("data", resolve));
  raw.pause();
  const [ours] = [...lab.app.websocketServer.clients].slice(-1);
  const closed = new Promise((resolve) => ours?.once("close", resolve));
  raw.on("error", () => undefined);
  const { body } = await call(lab, trainer, "POST", "/v1/episodes", { body: cell });
  await call(lab, trainer, "POST", `/v1/episodes/${body.episode_id}/step`, {
    body: { seq: 1, action: say("big 900000") },
  });
  const frame = (text: string) => {
    const data = Buffer.from(text);
    const head = Buffer.from([0x81, 0xfe, data.length >> 8, data.length & 255, 0, 0, 0, 0]);
    return Buffer.concat([head, data]);
  };
  for (let i = 0; i < 100; i++)
    raw.write(frame(JSON.stringify({ id: i, op: "get", episode_id: body.episode_id, view: "full" }).padEnd(200)));
  await closed;
  raw.destroy();
  expect((await call(lab, trainer, "GET", "/v1/tasks")).status).toBe(200);
});
