import { createBullBoard } from "@bull-board/api";
import { BullMQAdapter } from "@bull-board/api/bullMQAdapter";
import { FastifyAdapter } from "@bull-board/fastify";
import helmet from "@fastify/helmet";
import swaggerUi from "@fastify/swagger-ui";
import { QUEUE_NAMES, type QueueName } from "../../core/jobs.ts";
import { steadyNow } from "../../platform/clock.ts";
import { seesTrajectory } from "../auth/caller.ts";
import { callerOf } from "../auth/guard.ts";
import { getEpisode, visibleEpisode } from "../episodes.ts";
import { turnQueue } from "../operating.ts";
import { episodePage } from "../pages/episode-page.ts";
import type { Parts } from "../parts.ts";
import { trajectoryPage } from "../trajectory.ts";
import { type App, EpisodeParams } from "./app.ts";

/** Of a trajectory, on a page for people. */
const PAGE_BYTES = 4 * 1024 * 1024;

/** Everything for browsers, in a scope of its own: nothing from elsewhere is loaded or may embed it. */
export async function pageRoutes(app: App, parts: Parts): Promise<void> {
  await app.register(helmet, {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'self'"],
        styleSrc: ["'self'", "'unsafe-inline'"],
        imgSrc: ["'self'", "data:"],
        fontSrc: ["'self'", "data:"],
        objectSrc: ["'none'"],
        baseUri: ["'none'"],
        frameAncestors: ["'none'"],
        formAction: ["'self'"],
      },
    },
    strictTransportSecurity: false,
    referrerPolicy: { policy: "no-referrer" },
  });
  await app.register(swaggerUi, { routePrefix: "/docs", uiConfig: { docExpansion: "list", deepLinking: true } });
  await registerBoard(app, parts);
  app.get("/episodes/:id", { schema: { params: EpisodeParams, hide: true } }, async (request, reply) => {
    const caller = callerOf(request);
    const record = await visibleEpisode(parts, caller, request.params.id);
    const wait = { deadline: steadyNow(), signal: new AbortController().signal };
    const answer = await getEpisode(parts, caller, record.episode_id, { wait, full: false });
    const events = seesTrajectory(caller, record)
      ? (await trajectoryPage(parts, caller, record, { after: -1, maxBytes: PAGE_BYTES })).items
      : null;
    return reply.type("text/html; charset=utf-8").send(episodePage(answer, events));
  });
}

async function registerBoard(app: App, parts: Parts): Promise<void> {
  const serverAdapter = new FastifyAdapter();
  const queues = QUEUE_NAMES.map((name) => boardQueue(parts, name));
  createBullBoard({ queues, serverAdapter, options: { uiConfig: { boardTitle: "polygym queues" } } });
  serverAdapter.setBasePath("/ops/queues");
  await app.register(serverAdapter.registerPlugin(), { prefix: "/ops/queues" });
}

/** Pausing here is an operator's word like any other. */
function boardQueue(parts: Parts, name: QueueName): BullMQAdapter {
  const queue = new BullMQAdapter(parts.queues.bullQueue(name), {
    externalJobUrl: (job) => {
      const id = episodeOf(job.data);
      return id === null
        ? { displayText: "server", href: "/docs" }
        : { displayText: "episode", href: `/episodes/${id}` };
    },
  });
  queue.pause = () => turnQueue(parts, name, "pause");
  queue.resume = () => turnQueue(parts, name, "resume");
  return queue;
}

function episodeOf(data: unknown): string | null {
  if (typeof data !== "object" || data === null || !("episode_id" in data)) return null;
  return typeof data.episode_id === "string" ? data.episode_id : null;
}
