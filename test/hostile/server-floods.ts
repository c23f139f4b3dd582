import { once } from "node:events";
import { createServer } from "node:http";
import { expect } from "vitest";
import { call, cell } from "../server/lab.ts";
import {
  answerMs,
  closeCode,
  frame,
  openWebSocket,
  raw,
  rawWebSocket,
  refusesAll,
  type ServerAttack,
  type ServerBench,
} from "./server-attacks.ts";

/** Clients that send too slowly, too much, or what no parser should follow. */

const MIB = 1024 * 1024;
/** Two shared cores that run other tests; a server that stands still does not answer for as long as the attack lasts. */
const ANSWER_MS = 3_000;
/** Headers have 10 s, and Node looks every few seconds. */
const SLOW_HEADERS_MS = 25_000;

/** Sends a byte every second; answers the ms until the other side closes. */
async function drip(url: string, head: string): Promise<number> {
  using slow = raw(url, head);
  const at = performance.now();
  const timer = setInterval(() => slow.socket.write("x"), 1_000);
  const late = setTimeout(() => slow.socket.destroy(), SLOW_HEADERS_MS);
  await slow.closed;
  clearInterval(timer);
  clearTimeout(late);
  return performance.now() - at;
}

const SLOW_HEAD = "GET / HTTP/1.1\r\nhost: x\r\nx-slow: ";

async function withoutTimeouts(run: (url: string) => Promise<void>): Promise<void> {
  const server = createServer({ headersTimeout: 0, requestTimeout: 0 }, (_, reply) => reply.end("x"));
  server.timeout = 0;
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  try {
    await run(`http://127.0.0.1:${address !== null && typeof address === "object" ? address.port : 0}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

async function slowLoris(bench: ServerBench): Promise<void> {
  const slow = Array.from({ length: 100 }, () => drip(bench.lab.url, SLOW_HEAD));
  const idle = Array.from({ length: 400 }, () => raw(bench.lab.url, "GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"));
  const body = `POST /v1/episodes HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${bench.trainer}\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{`;
  const bodies = Array.from({ length: 100 }, () => raw(bench.lab.url, body));
  expect(await answerMs(bench)).toBeLessThan(ANSWER_MS);
  expect(Math.max(...(await Promise.all(slow)))).toBeLessThan(SLOW_HEADERS_MS);
  await Promise.all(bodies.map(({ closed }) => closed)); // 10 s without a byte
  expect(await answerMs(bench)).toBeLessThan(ANSWER_MS);
  for (const { socket } of idle) socket.destroy(); // after an answer a connection may rest for a minute: clients keep them
}

/** Bodies that a parser must not follow. All are a typed refusal, and nobody waits for them. */
const BODIES: readonly { name: string; body: () => string }[] = [
  { name: "a hundred thousand levels", body: () => `${"[".repeat(100_000)}${"]".repeat(100_000)}` },
  { name: "a million keys", body: () => `{${Array.from({ length: 600_000 }, (_, i) => `"${i}":0`).join(",")}}` },
  { name: "a number of seven million digits", body: () => `{"seed":${"9".repeat(7_000_000)}}` },
  { name: "a key that is there twice", body: () => '{"task_id":"lab/answer","task_id":7,"framework":"lab.messages"}' },
  { name: "a prototype below an array", body: () => '{"items":[{"a":[{"__proto__":{"polluted":1}}]}]}' },
  { name: "a constructor's prototype", body: () => '{"labels":{"constructor":{"prototype":{"polluted":1}}}}' },
  { name: "a prototype in escapes", body: () => '{"\\u005f_proto__":{"polluted":1}}' },
];

async function withoutEnd(bench: ServerBench): Promise<void> {
  const { lab, trainer } = bench;
  const before = process.memoryUsage().rss;
  const head = `POST /v1/episodes HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${trainer}\r\ncontent-type: application/json\r\n`;
  using large = raw(lab.url, `${head}content-length: 1000000000\r\n\r\n`);
  using chunked = raw(lab.url, `${head}transfer-encoding: chunked\r\n\r\n`);
  await once(chunked.socket, "connect");
  const chunk = Buffer.concat([Buffer.from("100000\r\n"), Buffer.alloc(MIB, 0x20), Buffer.from("\r\n")]);
  let open = true;
  void chunked.closed.then(() => {
    open = false;
  });
  for (let i = 0; i < 1_000 && open; i++)
    if (!chunked.socket.write(chunk))
      await Promise.race([chunked.closed, new Promise((resolve) => chunked.socket.once("drain", resolve))]);
  expect(open).toBe(false);
  expect(await chunked.closed).toContain("payload_too_large");
  expect(await large.closed).toContain("payload_too_large");
  expect(process.memoryUsage().rss - before).toBeLessThan(160 * MIB); // what the test itself sends is in it
  expect(await answerMs(bench)).toBeLessThan(ANSWER_MS);
}

const deflate = "sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n";

export const floodAttacks: readonly ServerAttack[] = [
  {
    name: "headers at a byte a second, bodies that stop, and idle connections hold nothing up",
    of: [37],
    control: {
      run: () =>
        withoutTimeouts(async (url) => {
          using slow = raw(url, SLOW_HEAD);
          const outcome = Promise.race([slow.closed, new Promise((resolve) => setTimeout(resolve, 12_000, "held"))]);
          expect(await outcome).toBe("held");
        }),
    },
    run: slowLoris,
  },
  {
    name: "bodies without an end are refused before they are held",
    of: [38],
    control: { none: "a parser that takes a gigabyte takes the machine's memory" },
    run: withoutEnd,
  },
  ...BODIES.map(
    ({ name, body }): ServerAttack => ({
      name: `${name} in a body is refused at once, over HTTP and over a socket`,
      of: [38],
      control: { none: "JSON.parse takes it: what follows is what the check is for, and harms the test itself" },
      run: async (bench) => {
        const { lab, trainer } = bench;
        const response = await fetch(`${lab.url}/v1/episodes`, {
          method: "POST",
          headers: { authorization: `Bearer ${trainer}`, "content-type": "application/json" },
          body: body(),
        });
        expect([response.status, await response.text()]).toEqual([400, expect.stringContaining("invalid_request")]);
        const socket = await openWebSocket(lab, trainer);
        const answered = new Promise<string>((resolve) => {
          socket.once("message", (data) => resolve(Buffer.isBuffer(data) ? data.toString() : ""));
          socket.once("close", (code) => resolve(`closed ${code}`));
        });
        socket.send(`{"id":1,"op":"create","body":${body()}}`);
        expect(await answered).toMatch(/"ok":false|closed 1009/);
        socket.terminate();
        expect(Reflect.get({}, "polluted")).toBeUndefined();
        expect(await answerMs(bench)).toBeLessThan(ANSWER_MS);
      },
    }),
  ),
  {
    name: "a flood of pings ends the socket",
    of: [39],
    control: { none: "a server that answers each ping is not harmed by a few, only busy" },
    run: async (bench) => {
      using socket = await rawWebSocket(bench.lab, bench.trainer);
      const ping = frame(0x89, Buffer.alloc(0));
      socket.socket.write(Buffer.concat(Array.from({ length: 5_000 }, () => ping)));
      const answered = await socket.closed; // the close itself may be lost with what the client still sent
      expect(answered.split("\x8a").length).toBeLessThan(1_000);
      expect(await answerMs(bench)).toBeLessThan(ANSWER_MS);
    },
  },
  {
    name: "compression is not agreed to, and compressed frames end the socket",
    of: [39],
    control: { none: "a bomb that is unpacked is memory of the test itself" },
    run: async (bench) => {
      using socket = await rawWebSocket(bench.lab, bench.trainer, deflate);
      expect(socket.head).toContain("101");
      expect(socket.head.toLowerCase()).not.toContain("permessage-deflate");
      socket.socket.write(frame(0xc1, Buffer.from([0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00])));
      expect(closeCode(await socket.closed)).toBe(1002);
    },
  },
  {
    name: "frames without a mask, with unknown opcodes or with broken text end the socket",
    of: [39],
    control: { none: "the protocol demands the end; there is no switch for it" },
    run: async ({ lab, trainer }) => {
      for (const [bad, code] of [
        [frame(0x81, Buffer.from("{}"), false), 1002],
        [frame(0x83, Buffer.from("{}")), 1002],
        [frame(0x09, Buffer.from("x")), 1002],
        [frame(0x81, Buffer.from([0xff, 0xfe])), 1007],
      ] as const) {
        using socket = await rawWebSocket(lab, trainer);
        socket.socket.write(bad);
        expect(closeCode(await socket.closed)).toBe(code);
      }
    },
  },
  {
    name: "a message of endless fragments stays within the bound of one frame",
    of: [39],
    control: { none: "what is gathered without a bound is memory of the test itself" },
    run: async (bench) => {
      using socket = await rawWebSocket(bench.lab, bench.trainer);
      const before = process.memoryUsage().rss;
      socket.socket.write(frame(0x01, Buffer.from("x")));
      const many = Buffer.concat(Array.from({ length: 50_000 }, () => frame(0x00, Buffer.from("x"))));
      for (let i = 0; i < 10 && !socket.socket.destroyed; i++) socket.socket.write(many);
      const piece = frame(0x00, Buffer.alloc(60_000, 0x20));
      for (let i = 0; i < 400 && !socket.socket.destroyed; i++)
        if (!socket.socket.write(piece))
          await Promise.race([socket.closed, new Promise((resolve) => socket.socket.once("drain", resolve))]);
      expect([1008, 1009]).toContain(closeCode(await socket.closed));
      expect(process.memoryUsage().rss - before).toBeLessThan(200 * MIB);
      expect(await answerMs(bench)).toBeLessThan(ANSWER_MS);
    },
  },
  {
    name: "long names, labels and queries cost no time",
    of: [47],
    control: { none: "the time that a bad pattern takes grows without end" },
    run: async ({ lab, trainer }) => {
      const long = "a".repeat(1_000_000);
      const at = performance.now();
      for (const change of [{ framework: long }, { task_id: `lab/${long}` }, { verifiers: [long] }, { run: long }]) {
        const { status } = await call(lab, trainer, "POST", "/v1/episodes", { body: { ...cell, ...change } });
        expect([400, 404]).toContain(status);
      }
      const query = `${"a=".repeat(3_000)}!`;
      expect((await call(lab, trainer, "GET", `/v1/episodes?label=${query}`)).status).toBeLessThan(500);
      expect(performance.now() - at).toBeLessThan(ANSWER_MS);
    },
  },
  {
    name: "a call without a token cannot make the server read a body",
    of: [37, 41],
    control: { none: refusesAll },
    run: async ({ lab }) => {
      using socket = raw(
        lab.url,
        "POST /v1/episodes HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 8000000\r\n\r\n{",
      );
      expect(
        await Promise.race([
          socket.closed,
          new Promise((resolve) => socket.socket.once("data", (d) => resolve(String(d)))),
        ]),
      ).toContain("401");
    },
  },
];
