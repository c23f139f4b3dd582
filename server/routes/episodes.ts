import * as z from "zod";
import { CreateEpisode, CreateRollout, EpisodeAnswer, FinishBody, StepBody } from "../../core/api.ts";
import { EpisodeState, Outcome } from "../../core/episode.ts";
import { JsonObject } from "../../core/json.ts";
import { VerdictView } from "../../core/verifier.ts";
import { episodeAnswer, verdictsFor, verdictViews } from "../answers.ts";
import { filterFor, seesTrajectory } from "../auth/caller.ts";
import { callerOf } from "../auth/guard.ts";
import { cancelEpisode, createEpisode, getEpisode, noTrajectory, visibleEpisode } from "../episodes.ts";
import type { Parts } from "../parts.ts";
import { takeStep } from "../steps.ts";
import { DEFAULT_PAGE_BYTES, trajectoryPage } from "../trajectory.ts";
import { replyWaiting, WaitQuery, waiting } from "../waiting.ts";
import { type App, answers, EpisodeParams, PageQuery } from "./app.ts";

const tags = ["episodes"];

export function actingRoutes(app: App, parts: Parts): void {
  const ok = answers(EpisodeAnswer);
  app.post(
    "/v1/episodes",
    {
      ...waiting,
      schema: { body: CreateEpisode, querystring: WaitQuery, tags, summary: "Start an episode", response: ok },
    },
    async (request, reply) =>
      replyWaiting({ parts, request, reply, waitS: request.query.wait_s }, (wait) =>
        createEpisode(parts, callerOf(request), { type: "episode", body: request.body }, wait),
      ),
  );
  app.post(
    "/v1/rollouts",
    {
      ...waiting,
      schema: { body: CreateRollout, querystring: WaitQuery, tags, summary: "Let a script act", response: ok },
    },
    async (request, reply) =>
      replyWaiting({ parts, request, reply, waitS: request.query.wait_s }, (wait) =>
        createEpisode(parts, callerOf(request), { type: "rollout", body: request.body }, wait),
      ),
  );
  app.post(
    "/v1/episodes/:id/step",
    {
      ...waiting,
      schema: { params: EpisodeParams, body: StepBody, querystring: WaitQuery, tags, summary: "Act", response: ok },
    },
    async (request, reply) =>
      replyWaiting({ parts, request, reply, waitS: request.query.wait_s }, (wait) =>
        takeStep(parts, callerOf(request), request.params.id, request.body, wait),
      ),
  );
  app.post(
    "/v1/episodes/:id/finish",
    {
      ...waiting,
      schema: {
        params: EpisodeParams,
        body: FinishBody,
        querystring: WaitQuery,
        tags,
        summary: "End it and be judged",
        response: ok,
      },
    },
    async (request, reply) => {
      const { reason, ...step } = request.body;
      return replyWaiting({ parts, request, reply, waitS: request.query.wait_s }, (wait) =>
        takeStep(parts, callerOf(request), request.params.id, { ...step, action: { finish: { reason } } }, wait),
      );
    },
  );
  app.delete(
    "/v1/episodes/:id",
    { ...waiting, schema: { params: EpisodeParams, querystring: WaitQuery, tags, summary: "Cancel it", response: ok } },
    async (request, reply) =>
      replyWaiting({ parts, request, reply, waitS: request.query.wait_s }, (wait) =>
        cancelEpisode(parts, callerOf(request), request.params.id, wait),
      ),
  );
}

const LookQuery = WaitQuery.extend({
  view: z.enum(["open", "full"]).default("open").describe("full: every open observation with its whole context"),
});

const ListQuery = PageQuery.extend({
  after: z
    .string()
    .regex(/^\d{1,15}$/, "is not a cursor: pass `next` of the page before, or leave it out")
    .optional(),
  run: z.string().max(128).optional(),
  state: EpisodeState.optional(),
  outcome: Outcome.optional(),
  task: z.string().max(256).optional(),
  framework: z.string().max(256).optional(),
  label: z
    .string()
    .max(321)
    .regex(/^[^=]+=/, "must be k=v")
    .optional(),
});

const EpisodeList = z.object({
  items: z.array(EpisodeAnswer),
  next: z.string().nullable(),
  counts: z.object({
    total: z.int(),
    state: z.record(z.string(), z.int()),
    outcome: z.record(z.string(), z.int()),
  }),
});

const TrajectoryQuery = z.object({
  after: z.coerce.number().int().min(-1).default(-1).describe("number of the last event known"),
  max_bytes: z.coerce.number().int().min(1).max(DEFAULT_PAGE_BYTES).default(DEFAULT_PAGE_BYTES),
});

export function lookingRoutes(app: App, parts: Parts): void {
  const look = { params: EpisodeParams, querystring: LookQuery, tags, response: answers(EpisodeAnswer) };
  for (const url of ["/v1/episodes/:id", "/v1/rollouts/:id"] as const)
    app.get(url, { ...waiting, schema: { ...look, summary: "How it stands" } }, async (request, reply) =>
      replyWaiting({ parts, request, reply, waitS: request.query.wait_s, defaultWaitS: 0 }, (wait) =>
        getEpisode(parts, callerOf(request), request.params.id, { wait, full: request.query.view === "full" }),
      ),
    );
  app.get(
    "/v1/episodes",
    { schema: { querystring: ListQuery, tags, summary: "Episodes, newest first", response: answers(EpisodeList) } },
    async (request) => {
      const caller = callerOf(request);
      const { after, limit, ...asked } = request.query;
      const filter = filterFor(caller, asked);
      const page = await parts.store.episodes(filter, { after, limit });
      const { total, state, outcome } = await parts.store.counts(filter);
      const items = page.items.map(async (record) =>
        episodeAnswer({
          record,
          caller,
          verdicts: await verdictsFor(parts, record),
          pendingReason: await parts.occupancy.pendingReason(record),
          activeAt: record.updated_at,
        }),
      );
      return {
        items: await Promise.all(items),
        next: page.next,
        counts: { total, state: { ...state }, outcome: { ...outcome } },
      };
    },
  );
  app.get(
    "/v1/episodes/:id/trajectory",
    {
      schema: {
        params: EpisodeParams,
        querystring: TrajectoryQuery,
        tags,
        summary: "Its events",
        response: answers(z.object({ items: z.array(JsonObject), next: z.int().nullable() })),
      },
    },
    async (request) => {
      const caller = callerOf(request);
      const record = await visibleEpisode(parts, caller, request.params.id);
      if (!seesTrajectory(caller, record)) throw noTrajectory(record.episode_id);
      return trajectoryPage(parts, caller, record, { after: request.query.after, maxBytes: request.query.max_bytes });
    },
  );
  app.get(
    "/v1/episodes/:id/verdicts",
    {
      schema: {
        params: EpisodeParams,
        tags,
        summary: "Its verdicts",
        response: answers(z.object({ items: z.array(VerdictView), next: z.null() })),
      },
    },
    async (request) => {
      const caller = callerOf(request);
      const record = await visibleEpisode(parts, caller, request.params.id);
      return { items: verdictViews(caller, await verdictsFor(parts, record)), next: null };
    },
  );
}
