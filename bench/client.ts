import WebSocket from "ws";
import type { EpisodeAnswer } from "../core/api.ts";

/** A plain client for measuring: fetch and one WebSocket, no retries, no cleverness. */
export interface GymClient {
  request(method: string, path: string, body?: unknown): Promise<unknown>;
  episode(method: string, path: string, body?: unknown): Promise<EpisodeAnswer>;
}

export function gymClient(url: string, token: string): GymClient {
  const request = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text.slice(0, 300)}`);
    return JSON.parse(text);
  };
  return { request, episode: async (method, path, body) => (await request(method, path, body)) as EpisodeAnswer }; // the server's own schema
}

export interface GymSocket {
  call(op: string, fields: Record<string, unknown>): Promise<EpisodeAnswer>;
  close(): void;
}

/** One multiplexed socket; answers are matched by id. */
export async function gymSocket(url: string, token: string): Promise<GymSocket> {
  const socket = new WebSocket(`${url.replace(/^http/, "ws")}/v1/ws`, {
    headers: { authorization: `Bearer ${token}` },
  });
  const waiting = new Map<string, PromiseWithResolvers<EpisodeAnswer>>();
  let next = 0;
  socket.on("message", (data: Buffer) => {
    const frame = JSON.parse(data.toString("utf8")) as {
      id?: string;
      ok?: boolean;
      result?: EpisodeAnswer;
      problem?: { detail?: string };
    }; // the server's own frames
    const call = frame.id === undefined ? undefined : waiting.get(frame.id);
    if (call === undefined || frame.id === undefined) return;
    waiting.delete(frame.id);
    if (frame.ok && frame.result !== undefined) call.resolve(frame.result);
    else call.reject(new Error(frame.problem?.detail ?? "refused"));
  });
  const opened = Promise.withResolvers<void>();
  socket.once("open", () => opened.resolve());
  socket.once("error", (error) => opened.reject(error));
  await opened.promise;
  return {
    call: (op, fields) => {
      const id = `c${next++}`;
      const call = Promise.withResolvers<EpisodeAnswer>();
      waiting.set(id, call);
      socket.send(JSON.stringify({ id, op, ...fields }));
      return call.promise;
    },
    close: () => socket.close(),
  };
}
