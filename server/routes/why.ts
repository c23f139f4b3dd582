import * as z from "zod";
import { WhyAnswer } from "../../core/api.ts";
import { QUEUE_NAMES } from "../../core/jobs.ts";
import { callerOf } from "../auth/guard.ts";
import { visibleEpisode } from "../episodes.ts";
import type { Parts } from "../parts.ts";
import { whyEpisode, whyQueue } from "../why.ts";
import { type App, answers, EpisodeParams } from "./app.ts";

const QueueParams = z.object({ queue: z.enum(QUEUE_NAMES) });

export function whyRoutes(app: App, parts: Parts): void {
  const tags = ["looking"];
  app.get(
    "/v1/episodes/:id/why",
    {
      schema: {
        params: EpisodeParams,
        tags,
        summary: "Why it is not further, and what to do",
        response: answers(WhyAnswer),
      },
    },
    async (request) => {
      const caller = callerOf(request);
      return whyEpisode(parts, caller, await visibleEpisode(parts, caller, request.params.id));
    },
  );
  app.get(
    "/v1/queues/:queue/why",
    { schema: { params: QueueParams, tags, summary: "Why a queue does not move", response: answers(WhyAnswer) } },
    async (request) => whyQueue(parts, request.params.queue),
  );
}
