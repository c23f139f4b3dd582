import * as z from "zod";
import { WhyAnswer } from "../../core/api.ts";
import { QUEUE_NAMES } from "../../core/jobs.ts";
import { Presence } from "../../core/mail.ts";
import { turnQueue, turnWorker } from "../operating.ts";
import type { Parts } from "../parts.ts";
import { whyQueue } from "../why.ts";
import { type App, answers } from "./app.ts";

const WorkerParams = z.object({ worker: z.string().min(1).max(128) });
const QueueParams = z.object({ queue: z.enum(QUEUE_NAMES) });

export function operatingRoutes(app: App, parts: Parts): void {
  const tags = ["operating"];
  for (const { verb, state, summary } of [
    {
      verb: "drain",
      state: "draining",
      summary: "It takes nothing new, parks idle episodes, ends its steps, and stays so",
    },
    { verb: "resume", state: "running", summary: "It takes jobs again" },
  ] as const)
    app.post(
      `/v1/workers/:worker/${verb}`,
      { schema: { params: WorkerParams, tags, summary, response: answers(Presence) } },
      async (request) => {
        parts.log.info({ workerId: request.params.worker, state }, "worker is told what to take");
        return turnWorker(parts, request.params.worker, state);
      },
    );
  for (const { verb, summary } of [
    { verb: "pause", summary: "No worker takes from it until it is resumed; what runs goes on" },
    { verb: "resume", summary: "Workers take from it again" },
  ] as const)
    app.post(
      `/v1/queues/:queue/${verb}`,
      { schema: { params: QueueParams, tags, summary, response: answers(WhyAnswer) } },
      async (request) => {
        const { queue } = request.params;
        await turnQueue(parts, queue, verb);
        return whyQueue(parts, queue);
      },
    );
}
