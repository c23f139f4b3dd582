import { connect, type Socket } from "node:net";
import { expect } from "vitest";
import { WebSocket } from "ws";
import { call, cell, type Lab } from "../server/lab.ts";
import type { Control } from "./attack.ts";

/** One attack on the server, from outside or by a caller who may not do what it tries. */
export interface ServerAttack {
  readonly name: string;
  readonly of: readonly number[];
  readonly control: Control;
  run(bench: ServerBench): Promise<void>;
}

export interface ServerBench {
  readonly lab: Lab;
  /** Two tenants that have nothing to do with each other. */
  readonly trainer: string;
  readonly stranger: string;
  readonly operator: string;
}

export const refusesAll =
  "without the check the call would be answered: the same call with a right token is, in test/server";

/** A connection that says what it likes; `closed` resolves with everything that was answered. */
export interface RawSocket extends Disposable {
  readonly socket: Socket;
  readonly closed: Promise<string>;
}

export function raw(url: string, text: string | Uint8Array = ""): RawSocket {
  const { port } = new URL(url);
  const ended = Promise.withResolvers<string>();
  let got = "";
  const socket = connect(Number(port), "127.0.0.1", () => {
    if (text.length > 0) socket.write(text);
  });
  socket.on("data", (data) => {
    got += data.toString("latin1");
  });
  socket.on("error", () => undefined); // a reset is an end, too
  socket.once("close", () => ended.resolve(got));
  return { socket, closed: ended.promise, [Symbol.dispose]: () => socket.destroy() };
}

/** An upgraded socket on which frames are made by hand. */
export async function rawWebSocket(
  lab: Lab,
  token: string,
  headers = "",
): Promise<RawSocket & { readonly head: string }> {
  const key = Buffer.from("0123456789abcdef").toString("base64");
  const opened = raw(
    lab.url,
    `GET /v1/ws HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: ${key}\r\nauthorization: Bearer ${token}\r\n${headers}\r\n`,
  );
  const head = await new Promise<string>((resolve) =>
    opened.socket.once("data", (data) => resolve(data.toString("latin1"))),
  );
  return { ...opened, head };
}

const MASK = [0, 0, 0, 0];
/** A client's frame: `first` holds FIN, RSV and the opcode. */
export function frame(first: number, data: Uint8Array, masked = true): Buffer {
  const size = data.length < 126 ? [data.length] : [126, data.length >> 8, data.length & 255];
  const [head = 0, ...rest] = size;
  return Buffer.concat([Buffer.from([first, head | (masked ? 0x80 : 0), ...rest, ...(masked ? MASK : [])]), data]);
}

/** The close code that a server sent, in what was read of its socket. */
export function closeCode(read: string): number | null {
  const at = read.lastIndexOf("\x88");
  return at < 0 ? null : read.charCodeAt(at + 2) * 256 + read.charCodeAt(at + 3);
}

/** How long the server takes to answer somebody who has nothing to do with an attack. */
export async function answerMs({ lab, trainer }: ServerBench): Promise<number> {
  const at = performance.now();
  expect((await call(lab, trainer, "GET", "/v1/tasks")).status).toBe(200);
  return performance.now() - at;
}

export async function openWebSocket(
  lab: Lab,
  token: string | null,
  headers: Record<string, string> = {},
): Promise<WebSocket> {
  const auth = token === null ? {} : { authorization: `Bearer ${token}` };
  const socket = new WebSocket(`${lab.url.replace("http", "ws")}/v1/ws`, { headers: { ...auth, ...headers } });
  const opened = Promise.withResolvers<void>();
  socket.once("open", () => opened.resolve());
  socket.on("error", (error) => opened.reject(error));
  await opened.promise;
  return socket;
}

export async function newEpisode({ lab }: ServerBench, token: string, body: object = {}): Promise<string> {
  const made = await call(lab, token, "POST", "/v1/episodes", { body: { ...cell, ...body } });
  expect(made.status).toBe(200);
  return made.body.episode_id;
}
