import * as z from "zod";
import { JobId } from "../../core/ids.ts";
import { BuildBody, CollectBody, ImageBuild, ImageItem, ImageLog } from "../../core/images.ts";
import { callerOf } from "../auth/guard.ts";
import { idempotencyKey, once } from "../idempotency.ts";
import { cancelBuild, listImages, readBuildLog, startBuild, startCollection } from "../images.ts";
import { JobAnswer } from "../jobs.ts";
import type { Parts } from "../parts.ts";
import { type App, answers } from "./app.ts";

const tags = ["images"];
const started = answers(JobAnswer);
const NameParams = z.object({ name: z.string().min(1).max(64) });
const LogQuery = z.object({
  after: z.coerce.number().int().min(0).default(0).describe("`next` of the answer before"),
  host: z.string().max(256).optional(),
});

export function imageRoutes(app: App, parts: Parts): void {
  app.get(
    "/v1/images",
    {
      schema: {
        tags,
        summary: "Images of every machine, and builds that wait, run or have failed",
        response: answers(z.object({ items: z.array(ImageItem), builds: z.array(ImageBuild), next: z.null() })),
      },
    },
    async () => ({ ...(await listImages(parts)), next: null }),
  );
  app.post(
    "/v1/images",
    {
      schema: {
        body: BuildBody,
        tags,
        summary: "Build an image; one that is being built is joined",
        response: started,
      },
    },
    async (request) => {
      const caller = callerOf(request);
      const keyed = { caller, route: "images", key: idempotencyKey(request), body: request.body };
      return once(parts, keyed, noWait(), { run: () => startBuild(parts, caller, request.body) });
    },
  );
  app.post(
    "/v1/images/gc",
    { schema: { body: CollectBody, tags, summary: "Remove images that nothing uses", response: started } },
    async (request) => {
      const caller = callerOf(request);
      const keyed = { caller, route: "images/gc", key: idempotencyKey(request), body: request.body };
      return once(parts, keyed, noWait(), { run: () => startCollection(parts, caller, request.body) });
    },
  );
  app.get(
    "/v1/images/:name/log",
    {
      schema: {
        params: NameParams,
        querystring: LogQuery,
        tags,
        summary: "Log of the image's last build, also while it runs",
        response: answers(ImageLog),
      },
    },
    async (request) => readBuildLog(parts, request.params.name, request.query),
  );
  app.delete(
    "/v1/images/:name/build",
    {
      schema: {
        params: NameParams,
        tags,
        summary: "Cancel the image's build",
        response: answers(z.object({ name: z.string(), cancelled: z.array(JobId) })),
      },
    },
    async (request) => cancelBuild(parts, request.params.name),
  );
}

const noWait = () => ({ deadline: Date.now(), signal: new AbortController().signal });
