import type { RawData, WebSocket } from "ws";
import * as z from "zod";
import { ProblemError } from "../../core/errors.ts";
import type { Caller } from "../auth/caller.ts";
import { type Credential, type Tokens, unauthorized } from "../auth/tokens.ts";
import { describeIssues, parseJson } from "../json-body.ts";
import type { Parts } from "../parts.ts";
import { problemDocument } from "../problems.ts";
import { ClientFrame, type FrameId, frameText, OPS, type ServerFrame } from "./frames.ts";
import { type Op, runOp } from "./ops.ts";
import { Subscriptions } from "./subscriptions.ts";

/** A socket that has not said who it is is closed. */
const AUTH_MS = 10_000;
const PING_EVERY_MS = 20_000;
/** Bytes that wait for a slow reader. */
export const MAX_BUFFERED_BYTES = 32 * 1024 * 1024;
/** Ops of one socket under way at once. */
const MAX_IN_FLIGHT = 16_384;
/** A client has no reason to ping more often. */
const MAX_PINGS_PER_BEAT = 200;

const CLOSE = { policy: 1008, slow: 1013 } as const;

const Auth = z.strictObject({ token: z.string().max(256) });

/** One socket: who it is, what it asks for, what it is told. A closed one ends nothing. */
export class Connection {
  readonly #parts: Parts;
  readonly #tokens: Tokens;
  readonly #socket: WebSocket;
  readonly #closed = new AbortController();
  readonly #subscriptions: Subscriptions;
  readonly #beat: NodeJS.Timeout;
  #credential: Credential | null;
  #inFlight = 0;
  #alive = true;
  #pings = 0;

  constructor(parts: Parts, tokens: Tokens, socket: WebSocket, credential: Credential | null) {
    this.#parts = parts;
    this.#tokens = tokens;
    this.#socket = socket;
    this.#credential = credential;
    this.#subscriptions = new Subscriptions(parts, {
      caller: () => this.#caller(),
      send: (frame) => this.#send(frame),
      overflow: () => this.#close(CLOSE.slow, "too slow"),
      fail: (error) => parts.log.warn({ err: error }, "event not sent"),
    });
    this.#beat = setInterval(() => this.#check(), PING_EVERY_MS);
    if (credential === null)
      setTimeout(() => this.#credential ?? this.#close(CLOSE.policy, "no auth"), AUTH_MS).unref();
    socket.on("message", (data, isBinary) => this.#take(data, isBinary));
    socket.on("pong", () => {
      this.#alive = true;
    });
    socket.on("ping", () => {
      if (++this.#pings > MAX_PINGS_PER_BEAT) this.#close(CLOSE.policy, "too many pings");
    });
    socket.once("close", () => this.#end());
  }

  #end(): void {
    clearInterval(this.#beat);
    this.#subscriptions.close();
    this.#closed.abort();
  }

  /** Half-open sockets are found by the missing pong. */
  #check(): void {
    if (!this.#alive) {
      this.#socket.terminate();
      return;
    }
    this.#alive = false;
    this.#pings = 0;
    this.#socket.ping();
  }

  #caller(): Promise<Caller | null> {
    return this.#credential?.caller() ?? Promise.resolve(null);
  }

  #take(data: RawData, isBinary: boolean): void {
    let id: FrameId | null = null;
    try {
      if (isBinary) throw new ProblemError("invalid_request", "frames are text", "send JSON as text frames");
      const value = parseJson(textOf(data));
      id = frameId(value);
      const frame = parseFrame(value);
      if (this.#inFlight >= MAX_IN_FLIGHT)
        throw new ProblemError(
          "capacity",
          `a socket has at most ${MAX_IN_FLIGHT} calls under way`,
          "wait for answers, or open another",
          {
            retryAfterS: 1,
          },
        );
      this.#inFlight++;
      this.#answer(frame)
        .catch((error: unknown) => this.#refuse(frame.id, error))
        .catch((error: unknown) => this.#parts.log.warn({ err: error }, "answer not sent"))
        .finally(() => {
          this.#inFlight--;
        });
    } catch (error) {
      this.#refuse(id, error).catch((failure: unknown) => this.#parts.log.warn({ err: failure }, "answer not sent"));
    }
  }

  async #answer(frame: ClientFrame): Promise<void> {
    const { id, op, ...body } = frame;
    const result = await this.#result(op, body);
    await this.#send({ id, ok: true, result });
  }

  async #result(op: ClientFrame["op"], body: object): Promise<object> {
    if (op === "ping") return { pong: Date.now() };
    if (op === "auth") return this.#authenticate(body);
    const caller = await this.#caller();
    if (caller === null) throw unauthorized("this socket has not said who it is, or its token was revoked");
    return this.#run(op, body, caller);
  }

  #run(op: Op, body: object, caller: Caller): Promise<object> {
    const context = { parts: this.#parts, caller, subscriptions: this.#subscriptions, signal: this.#closed.signal };
    return runOp(context, op, body);
  }

  async #authenticate(body: object): Promise<object> {
    const parsed = Auth.safeParse(body);
    if (!parsed.success)
      throw new ProblemError(
        "invalid_request",
        describeIssues(parsed.error.issues, "frame"),
        'send {"id", "op": "auth", "token"}',
      );
    const credential = this.#tokens.byToken(parsed.data.token);
    const caller = await credential.caller();
    if (caller === null) throw unauthorized("the token is not known here, or was revoked");
    this.#credential = credential;
    return { roles: [...caller.roles] };
  }

  async #refuse(id: FrameId | null, error: unknown): Promise<void> {
    await this.#send({ id, ok: false, problem: problemDocument(this.#parts.log, error) });
  }

  async #send(frame: ServerFrame): Promise<void> {
    const text = await frameText(this.#parts.store, frame);
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    if (this.#socket.bufferedAmount + text.length > MAX_BUFFERED_BYTES) return this.#close(CLOSE.slow, "too slow");
    this.#socket.send(text);
  }

  /** A reader that takes nothing would never see the close. */
  #close(code: number, reason: string): void {
    this.#end();
    this.#socket.close(code, reason);
    setTimeout(() => this.#socket.terminate(), 5_000).unref();
  }
}

function textOf(data: RawData): string {
  const bytes = data instanceof ArrayBuffer ? Buffer.from(data) : Array.isArray(data) ? Buffer.concat(data) : data;
  return bytes.toString("utf8");
}

/** Of a frame that may be wrong otherwise. */
function frameId(value: unknown): FrameId | null {
  const parsed = ClientFrame.pick({ id: true }).safeParse(value);
  return parsed.success ? parsed.data.id : null;
}

function parseFrame(value: unknown): ClientFrame {
  const parsed = ClientFrame.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new ProblemError(
    "invalid_request",
    describeIssues(parsed.error.issues, "frame"),
    `send {"id": …, "op": one of ${OPS.join(", ")}, …}`,
  );
}
