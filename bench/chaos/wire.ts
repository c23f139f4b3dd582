import WebSocket from "ws";
import type { EpisodeAnswer } from "../../core/api.ts";
import type { Problem } from "../../core/errors.ts";

/** One call of the contract, the same over both transports. */
export type Call =
  | { readonly op: "create"; readonly body: Record<string, unknown> }
  | { readonly op: "rollout"; readonly body: Record<string, unknown> }
  | { readonly op: "step"; readonly id: string; readonly body: Record<string, unknown> }
  | { readonly op: "finish"; readonly id: string; readonly body: Record<string, unknown> }
  | { readonly op: "get"; readonly id: string };

export type Answer =
  | { readonly status: "answer"; readonly answer: EpisodeAnswer }
  | { readonly status: "problem"; readonly problem: Problem };

/** Sends a call once. Rejects when the connection fails or stays silent: then it is not known what became of the call. */
export interface Wire {
  send(call: Call): Promise<Answer>;
  close(): void;
}

export interface WireOptions {
  readonly url: string;
  readonly token: string;
}

/** Longest wait of a call, and the silence after which a client gives the connection up. */
const WAIT_S = 20;
const SILENCE_MS = 40_000;

export function httpWire({ url, token }: WireOptions): Wire {
  const path = (call: Call): string => {
    const wait = `wait_s=${WAIT_S}`;
    if (call.op === "create") return `/v1/episodes?${wait}`;
    if (call.op === "rollout") return `/v1/rollouts?${wait}`;
    return call.op === "get" ? `/v1/episodes/${call.id}?${wait}` : `/v1/episodes/${call.id}/${call.op}?${wait}`;
  };
  return {
    send: async (call) => {
      const post = call.op !== "get";
      const response = await fetch(`${url}${path(call)}`, {
        method: post ? "POST" : "GET",
        headers: { authorization: `Bearer ${token}`, ...(post ? { "content-type": "application/json" } : {}) },
        ...(post ? { body: JSON.stringify(call.body) } : {}),
        signal: AbortSignal.timeout(SILENCE_MS),
      });
      return answerOf(JSON.parse(await response.text()));
    },
    close: () => undefined,
  };
}

/** After spaces have been sent the status stands, so the body alone says whether it is a problem. */
function answerOf(value: unknown): Answer {
  const body = value as EpisodeAnswer & Problem; // the server's own schemas
  return body.episode_id === undefined ? { status: "problem", problem: body } : { status: "answer", answer: body };
}

interface Frame {
  readonly id?: string;
  readonly ok?: boolean;
  readonly result?: EpisodeAnswer;
  readonly problem?: Problem;
}

/** One socket for many episodes; it is opened again by the next call after it was lost. */
export function socketWire({ url, token }: WireOptions): Wire & { drop(): void } {
  const http = httpWire({ url, token });
  const waiting = new Map<string, PromiseWithResolvers<Answer>>();
  let socket: Promise<WebSocket> | null = null;
  let next = 0;
  const fail = (error: Error): void => {
    socket = null;
    for (const call of waiting.values()) call.reject(error);
    waiting.clear();
  };
  const open = async (): Promise<WebSocket> => {
    const opening = new WebSocket(`${url.replace(/^http/, "ws")}/v1/ws`, {
      headers: { authorization: `Bearer ${token}` },
    });
    opening.on("message", (data: Buffer) => {
      const frame = JSON.parse(data.toString("utf8")) as Frame; // the server's own frames
      const call = frame.id === undefined ? undefined : waiting.get(frame.id);
      if (call === undefined || frame.id === undefined) return;
      waiting.delete(frame.id);
      if (frame.result !== undefined) call.resolve({ status: "answer", answer: frame.result });
      else if (frame.problem !== undefined) call.resolve({ status: "problem", problem: frame.problem });
    });
    const opened = Promise.withResolvers<void>();
    opening.once("open", () => opened.resolve());
    opening.on("error", (error) => opened.reject(error));
    opening.once("close", (code) => fail(new Error(`the socket closed with ${code}`)));
    await opened.promise;
    return opening;
  };
  const connected = (): Promise<WebSocket> => {
    socket ??= open().catch((error: unknown) => {
      socket = null;
      throw error;
    });
    return socket;
  };
  return {
    send: async (call) => {
      if (call.op === "rollout") return http.send(call); // has no twin
      const opened = await connected();
      const id = `c${next++}`;
      const answer = Promise.withResolvers<Answer>();
      waiting.set(id, answer);
      const named = call.op === "create" ? {} : { episode_id: call.id };
      const body = call.op === "get" ? {} : call.body;
      opened.send(JSON.stringify({ id, op: call.op, wait_s: WAIT_S, ...named, ...body }));
      const timer = setTimeout(() => answer.reject(new Error("the socket was silent")), SILENCE_MS);
      try {
        return await answer.promise;
      } finally {
        clearTimeout(timer);
        waiting.delete(id);
      }
    },
    drop: () => void socket?.then((open) => open.terminate()).catch(() => undefined),
    close: () => void socket?.then((open) => open.close()).catch(() => undefined),
  };
}
