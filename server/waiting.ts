import { PassThrough } from "node:stream";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import * as z from "zod";
import { DEFAULT_WAIT_S } from "../core/api.ts";
import { steadyNow } from "../platform/clock.ts";
import type { Parts } from "./parts.ts";
import { problemDocument } from "./problems.ts";
import type { Wait } from "./wait.ts";

/** Plain clients give up after 5 s without a byte. */
const SPACE_EVERY_MS = 3_000;
export const MAX_WAIT_S = 3_600;
/** Of routes that wait: `wait_s` bounds them. The others have a time limit of their own. */
export const waiting = { config: { waits: true } } as const;
const HANDLER_MS = 30_000;

declare module "fastify" {
  interface FastifyContextConfig {
    waits?: boolean;
  }
}

/** A limit for the whole app would hold for waiting routes too, and cost each of their calls an abort. */
export function limitHandlers(app: FastifyInstance): void {
  app.addHook("onRoute", (route) => {
    if (route.config?.waits !== true) route.handlerTimeout ??= HANDLER_MS;
  });
}

export const WaitQuery = z.object({
  wait_s: z.coerce.number().min(0).max(MAX_WAIT_S).optional().describe(`longest wait of this call [${DEFAULT_WAIT_S}]`),
});

/** `Prefer: respond-async` answers at once, whatever `wait_s` says. */
function waitSeconds(request: FastifyRequest, asked: number | undefined, otherwise: number): number {
  const prefer = request.headers.prefer;
  const wishes = (Array.isArray(prefer) ? prefer.join(",") : (prefer ?? "")).split(/[,;]/);
  return wishes.some((wish) => wish.trim().toLowerCase() === "respond-async") ? 0 : (asked ?? otherwise);
}

export interface WaitingCall {
  readonly parts: Parts;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  /** Seconds asked for, and what holds when none were. (Default: 300) */
  readonly waitS: number | undefined;
  readonly defaultWaitS?: number;
}

/**
 * Answers what `work` gives. From the third second on it sends a space every 3 s before the JSON; the status is 200 by then,
 * and a problem after that is the body.
 */
export async function replyWaiting<T extends object>(call: WaitingCall, work: (wait: Wait) => Promise<T>): Promise<T> {
  const { request, reply, parts } = call;
  const gone = new AbortController();
  reply.raw.once("close", () => {
    if (!reply.raw.writableEnded) gone.abort();
  });
  const seconds = waitSeconds(request, call.waitS, call.defaultWaitS ?? DEFAULT_WAIT_S);
  const result = work({ deadline: steadyNow() + seconds * 1_000, signal: gone.signal });
  const first = await settledWithin(result, SPACE_EVERY_MS);
  if (first) return result;
  const body = new PassThrough();
  const spaces = setInterval(() => body.write(" "), SPACE_EVERY_MS);
  body.write(" ");
  result
    .catch((error: unknown) => problemDocument(parts.log, error))
    .then((value) => body.end(JSON.stringify(value)))
    .catch((error: unknown) => body.destroy(error instanceof Error ? error : new Error(String(error))))
    .finally(() => clearInterval(spaces));
  // fastify waits for the stream and ignores what a handler returns beside it.
  return reply.type("application/json; charset=utf-8").send(body) as unknown as T;
}

async function settledWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
  const late = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => late.resolve(false), ms);
  const settled = work.then(
    () => true,
    () => true,
  );
  try {
    return await Promise.race([settled, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
