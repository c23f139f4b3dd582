import * as z from "zod";
import { CreateEpisode, EpisodeAnswer, StepBody, VerifyAnswer, VerifyBody } from "../../core/api.ts";
import { Problem, ProblemError } from "../../core/errors.ts";
import { EpisodeId } from "../../core/ids.ts";
import { Json } from "../../core/json.ts";
import type { Caller } from "../auth/caller.ts";
import { callerOf } from "../auth/guard.ts";
import { createEpisode } from "../episodes.ts";
import { idempotencyKey, once } from "../idempotency.ts";
import { describeIssues } from "../json-body.ts";
import type { Parts } from "../parts.ts";
import { problemDocument } from "../problems.ts";
import { takeStep } from "../steps.ts";
import { UNANSWERED, verifySubmission } from "../verify.ts";
import type { Wait } from "../wait.ts";
import { replyWaiting, WaitQuery, waiting } from "../waiting.ts";
import { type App, answers } from "./app.ts";

/** Items of one batch: as many as a large group of a synchronous trainer. */
const MAX_ITEMS = 1_024;

/** Items are parsed one by one: a bad one harms no other. */
const Batch = z.strictObject({ items: z.array(Json).min(1).max(MAX_ITEMS) });
const batchOf = <T extends z.ZodType>(body: T) =>
  z.object({ items: z.array(z.object({ status: z.int(), body: z.union([body, Problem]) })) });

const BatchStep = StepBody.extend({ episode_id: EpisodeId });

interface BatchKind<T> {
  readonly schema: z.ZodType<T>;
  readonly run: (caller: Caller, item: T, wait: Wait) => Promise<object>;
}

export function batchRoutes(app: App, parts: Parts): void {
  const answer = async <T>(caller: Caller, body: z.infer<typeof Batch>, kind: BatchKind<T>, wait: Wait) => ({
    items: await Promise.all(body.items.map((item) => answerItem(parts, caller, item, kind, wait))),
  });
  const register = <T>(name: "episodes" | "steps" | "verify", result: z.ZodType, kind: BatchKind<T>): void => {
    const schema = {
      body: Batch,
      querystring: WaitQuery,
      tags: ["batch"],
      summary: `Many ${name}`,
      response: answers(batchOf(result)),
    };
    app.post(`/v1/batch/${name}`, { ...waiting, schema }, async (request, reply) => {
      const caller = callerOf(request);
      const keyed = { caller, route: `batch/${name}`, key: idempotencyKey(request), body: request.body };
      return replyWaiting({ parts, request, reply, waitS: request.query.wait_s }, (wait) =>
        once(parts, keyed, wait, { run: () => answer(caller, request.body, kind, wait) }),
      );
    });
  };
  register("episodes", EpisodeAnswer, {
    schema: CreateEpisode,
    run: (caller, body, wait) => createEpisode(parts, caller, { type: "episode", body }, wait),
  });
  register("steps", EpisodeAnswer, {
    schema: BatchStep,
    run: (caller, { episode_id, ...body }, wait) => takeStep(parts, caller, episode_id, body, wait),
  });
  register("verify", VerifyAnswer, {
    schema: VerifyBody,
    run: (caller, body, wait) => verifySubmission(parts, caller, body, wait),
  });
}

async function answerItem<T>(
  parts: Parts,
  caller: Caller,
  item: Json,
  kind: BatchKind<T>,
  wait: Wait,
): Promise<{ status: number; body: object }> {
  try {
    const parsed = kind.schema.safeParse(item);
    if (!parsed.success)
      throw new ProblemError(
        "invalid_request",
        describeIssues(parsed.error.issues, "item"),
        "see /docs for its fields",
      );
    return { status: 200, body: await kind.run(caller, parsed.data, wait) };
  } catch (error) {
    const problem = problemDocument(parts.log, error);
    return { status: problem.status, body: problem };
  }
}

export function verifyRoute(app: App, parts: Parts): void {
  app.post(
    "/v1/verify",
    {
      ...waiting,
      schema: {
        body: VerifyBody,
        querystring: WaitQuery,
        tags: ["verify"],
        summary: "Judge a submission without an episode",
        response: answers(VerifyAnswer),
      },
    },
    async (request, reply) => {
      const caller = callerOf(request);
      const keyed = { caller, route: "verify", key: idempotencyKey(request), body: request.body };
      return replyWaiting({ parts, request, reply, waitS: request.query.wait_s }, (wait) =>
        once(parts, keyed, wait, {
          run: () => verifySubmission(parts, caller, request.body, wait),
          keep: (answer) => answer !== UNANSWERED,
        }),
      );
    },
  );
}
