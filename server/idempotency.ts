import type { FastifyRequest } from "fastify";
import { ProblemError } from "../core/errors.ts";
import { canonicalJson, sha256 } from "../core/ids.ts";
import { steadyNow } from "../platform/clock.ts";
import type { Caller } from "./auth/caller.ts";
import type { Parts } from "./parts.ts";
import { isOver, POLL_MS, type Wait } from "./wait.ts";

const KEY = /^[\x21-\x7e]{1,255}$/;

export interface KeyedRequest {
  readonly caller: Caller;
  readonly route: string;
  readonly key: string | null;
  readonly body: unknown;
}

export function idempotencyKey(request: FastifyRequest): string | null {
  const key = request.headers["idempotency-key"];
  if (key === undefined) return null;
  if (typeof key === "string" && KEY.test(key)) return key;
  throw new ProblemError(
    "invalid_request",
    "idempotency-key must be 1 to 255 visible ASCII characters",
    "send e.g. a UUID",
  );
}

/**
 * Does the work once per key and body and answers the same for 24 h. Without a key it just does it. Work that failed leaves
 * no trace, so that it can be tried again; `keep` says which answers are worth keeping. (Default: all)
 */
export async function once<T extends object>(
  parts: Parts,
  request: KeyedRequest,
  wait: Wait,
  work: { readonly run: () => Promise<T>; readonly keep?: (answer: T) => boolean },
): Promise<T> {
  const { key, route, caller } = request;
  if (key === null) return work.run();
  const digest = sha256(canonicalJson(request.body ?? null));
  using watch = parts.hub.watch(watchName(caller, route, key));
  for (;;) {
    const known = await parts.store.idempotency(caller.tokenId, route, key, digest);
    switch (known.status) {
      case "done":
        return JSON.parse(known.body) as T; // what finishIdempotency kept below
      case "other_body":
        throw new ProblemError(
          "conflict",
          `idempotency-key ${key} was used with another body`,
          "use a new key for a new request",
        );
      case "new":
        return runKept(parts, request, key, work);
      case "running":
        if (isOver(wait))
          throw new ProblemError("conflict", `the request with key ${key} is still running`, "send it again later");
        await watch.changed(Math.min(POLL_MS, Math.max(1, wait.deadline - steadyNow())), wait.signal);
    }
  }
}

async function runKept<T extends object>(
  parts: Parts,
  { caller, route }: KeyedRequest,
  key: string,
  work: { readonly run: () => Promise<T>; readonly keep?: (answer: T) => boolean },
): Promise<T> {
  let kept = false;
  try {
    const answer = await work.run();
    if (work.keep?.(answer) ?? true) {
      await parts.store.finishIdempotency(caller.tokenId, route, key, 200, JSON.stringify(answer));
      kept = true;
    }
    return answer;
  } finally {
    if (!kept) await parts.store.forgetIdempotency(caller.tokenId, route, key);
    parts.hub.onMail({ type: "job", job_id: watchName(caller, route, key) });
  }
}

const watchName = (caller: Caller, route: string, key: string): string => `${caller.tokenId} ${route} ${key}`;
