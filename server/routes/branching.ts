import * as z from "zod";
import { EpisodeAnswer, VerifyAnswer } from "../../core/api.ts";
import { callerOf } from "../auth/guard.ts";
import { forkEpisode, MAX_CHILDREN, rescoreEpisode, snapshotEpisode } from "../branching.ts";
import type { Parts } from "../parts.ts";
import { replyWaiting, WaitQuery, waiting } from "../waiting.ts";
import { type App, answers, EpisodeParams } from "./app.ts";

const ForkBody = z.strictObject({ n: z.int().min(1).max(MAX_CHILDREN).default(1) });
const RescoreBody = z.strictObject({
  verifiers: z.array(z.string()).min(1).max(32).optional().describe("[its train verifiers]"),
});
const Children = z.object({ items: z.array(EpisodeAnswer) });

export function branchingRoutes(app: App, parts: Parts): void {
  const options = { ...waiting };
  const shared = { params: EpisodeParams, querystring: WaitQuery, tags: ["episodes"] };
  app.post(
    "/v1/episodes/:id/fork",
    {
      ...options,
      schema: { ...shared, body: ForkBody, summary: "Children that go on from here", response: answers(Children) },
    },
    async (request, reply) =>
      replyWaiting({ parts, request, reply, waitS: request.query.wait_s }, async (wait) => ({
        items: await forkEpisode(parts, callerOf(request), request.params.id, request.body.n, wait),
      })),
  );
  app.post(
    "/v1/episodes/:id/snapshot",
    {
      ...options,
      schema: {
        ...shared,
        summary: "Keep its workspace durably and give up its sandbox",
        response: answers(EpisodeAnswer),
      },
    },
    async (request, reply) =>
      replyWaiting({ parts, request, reply, waitS: request.query.wait_s }, (wait) =>
        snapshotEpisode(parts, callerOf(request), request.params.id, wait),
      ),
  );
  app.post(
    "/v1/episodes/:id/rescore",
    {
      ...options,
      schema: { ...shared, body: RescoreBody, summary: "Judge its submission again", response: answers(VerifyAnswer) },
    },
    async (request, reply) =>
      replyWaiting({ parts, request, reply, waitS: request.query.wait_s }, (wait) =>
        rescoreEpisode(parts, callerOf(request), request.params.id, request.body.verifiers, wait),
      ),
  );
}
