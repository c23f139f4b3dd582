import * as z from "zod";
import { CreateEpisode, DEFAULT_WAIT_S, FinishBody, StepBody } from "../../core/api.ts";
import { ProblemError } from "../../core/errors.ts";
import { EpisodeId, RunLabel } from "../../core/ids.ts";
import { steadyNow } from "../../platform/clock.ts";
import type { Caller } from "../auth/caller.ts";
import { checkRoles } from "../auth/guard.ts";
import { ROUTES } from "../auth/routes.ts";
import { cancelEpisode, createEpisode, getEpisode, makeEpisode, visibleEpisode } from "../episodes.ts";
import { describeIssues } from "../json-body.ts";
import type { Parts } from "../parts.ts";
import { takeStep } from "../steps.ts";
import type { Wait } from "../wait.ts";
import { MAX_WAIT_S } from "../waiting.ts";
import type { ClientFrame } from "./frames.ts";
import type { Subscriptions } from "./subscriptions.ts";

const waitS = z.number().min(0).max(MAX_WAIT_S).optional();
const episode = { episode_id: EpisodeId, wait_s: waitS };

const Create = CreateEpisode.extend({ wait_s: waitS });
const Step = StepBody.extend(episode);
const Finish = FinishBody.extend(episode);
const Get = z.strictObject({ ...episode, view: z.enum(["open", "full"]).default("open") });
const Attach = Get.extend({ after: z.int().min(-1).optional().describe("cursor of the last event known") });
const Cancel = z.strictObject(episode);
const Subscribe = z
  .strictObject({
    run: RunLabel.optional(),
    episode_ids: z.array(EpisodeId).min(1).max(10_000).optional(),
    all: z.literal(true).optional(),
    after: z.string().max(512).optional().describe("place in the order of completion; empty: from the start"),
  })
  .refine((body) => [body.run, body.episode_ids, body.all].filter((one) => one !== undefined).length === 1, {
    message: "exactly one of run, episode_ids, all",
  });

/** Who may use an op is who may use its twin. */
const TWINS = {
  create: "POST /v1/episodes",
  step: "POST /v1/episodes/:id/step",
  finish: "POST /v1/episodes/:id/finish",
  attach: "GET /v1/episodes/:id",
  get: "GET /v1/episodes/:id",
  cancel: "DELETE /v1/episodes/:id",
  subscribe: "GET /v1/episodes",
} as const satisfies Partial<Record<ClientFrame["op"], keyof typeof ROUTES>>;
export type Op = keyof typeof TWINS;

export interface OpContext {
  readonly parts: Parts;
  readonly caller: Caller;
  readonly subscriptions: Subscriptions;
  /** Aborts when the socket closes. */
  readonly signal: AbortSignal;
}

/** Does what a frame asks for; what is thrown is a problem with it. */
export async function runOp(context: OpContext, op: Op, body: object): Promise<object> {
  const { parts, caller, subscriptions } = context;
  checkRoles(caller, ROUTES[TWINS[op]]);
  switch (op) {
    case "create":
      return create(context, parse(Create, body));
    case "step": {
      const { episode_id, wait_s, ...step } = parse(Step, body);
      subscriptions.follow(episode_id);
      return takeStep(parts, caller, episode_id, step, waitOf(context, wait_s));
    }
    case "finish": {
      const { episode_id, wait_s, reason, ...step } = parse(Finish, body);
      subscriptions.follow(episode_id);
      return takeStep(parts, caller, episode_id, { ...step, action: { finish: { reason } } }, waitOf(context, wait_s));
    }
    case "get": {
      const { episode_id, wait_s, view } = parse(Get, body);
      return getEpisode(parts, caller, episode_id, { wait: waitOf(context, wait_s ?? 0), full: view === "full" });
    }
    case "attach":
      return attach(context, parse(Attach, body));
    case "cancel": {
      const { episode_id, wait_s } = parse(Cancel, body);
      return cancelEpisode(parts, caller, episode_id, waitOf(context, wait_s));
    }
    case "subscribe":
      return subscribe(context, parse(Subscribe, body));
  }
}

async function create(context: OpContext, { wait_s, ...body }: z.infer<typeof Create>): Promise<object> {
  const { parts, caller, subscriptions } = context;
  const request = { type: "episode", body } as const;
  if (body.episode_id !== undefined) subscriptions.follow(body.episode_id);
  const made = await makeEpisode(parts, caller, request);
  subscriptions.follow(made.episode_id);
  const again = { ...request, body: { ...body, episode_id: made.episode_id } };
  return body.episode_id === undefined
    ? getEpisode(parts, caller, made.episode_id, { wait: waitOf(context, wait_s), full: false })
    : createEpisode(parts, caller, again, waitOf(context, wait_s));
}

async function attach(context: OpContext, body: z.infer<typeof Attach>): Promise<object> {
  const { parts, caller, subscriptions } = context;
  const record = await visibleEpisode(parts, caller, body.episode_id);
  if (body.after === undefined) subscriptions.follow(record.episode_id);
  else subscriptions.followAfter(caller, record, body.after);
  const wait = waitOf(context, body.wait_s ?? 0);
  return getEpisode(parts, caller, record.episode_id, { wait, full: body.view === "full" });
}

async function subscribe(
  { parts, caller, subscriptions }: OpContext,
  body: z.infer<typeof Subscribe>,
): Promise<object> {
  for (const id of body.episode_ids ?? []) await visibleEpisode(parts, caller, id);
  for (const id of body.episode_ids ?? []) subscriptions.follow(id);
  if (body.episode_ids === undefined)
    subscriptions.followAll(caller, body.run === undefined ? {} : { run: body.run }, body.after);
  return { subscribed: true };
}

function parse<T extends z.ZodType>(schema: T, body: object): z.output<T> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw new ProblemError(
    "invalid_request",
    describeIssues(parsed.error.issues, "frame"),
    "see /docs for the fields: they are those of HTTP",
  );
}

const waitOf = ({ signal }: OpContext, seconds: number | undefined): Wait => ({
  deadline: steadyNow() + (seconds ?? DEFAULT_WAIT_S) * 1_000,
  signal,
});
