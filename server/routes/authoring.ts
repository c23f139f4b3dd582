import { Readable } from "node:stream";
import * as z from "zod";
import { ValidationBody } from "../../core/api.ts";
import { JobId, sha256 } from "../../core/ids.ts";
import { steadyNow } from "../../platform/clock.ts";
import { callerOf } from "../auth/guard.ts";
import { idempotencyKey, once } from "../idempotency.ts";
import {
  checkFormat,
  getJob,
  ImportQuery,
  JobAnswer,
  MAX_UPLOAD_BYTES,
  readUpload,
  startImport,
  startValidation,
} from "../jobs.ts";
import type { Parts } from "../parts.ts";
import { replyWaiting, WaitQuery, waiting } from "../waiting.ts";
import { type App, answers } from "./app.ts";

/** Format of `POST /v1/tasks`: an archive of one task folder. */
const TASK_FORMAT = "folder";
const tags = ["authoring"];
const response = answers(JobAnswer);

const JobParams = z.object({ job_id: JobId });

export function jobRoutes(app: App, parts: Parts): void {
  app.post(
    "/v1/validations",
    { schema: { body: ValidationBody, tags, summary: "Prove that tasks are sound", response } },
    async (request) => {
      const caller = callerOf(request);
      const keyed = { caller, route: "validations", key: idempotencyKey(request), body: request.body };
      return once(parts, keyed, noWait(), { run: () => startValidation(parts, caller, request.body) });
    },
  );
  for (const kind of ["import", "validation", "build"] as const)
    app.get(
      `/v1/${kind}s/:job_id`,
      {
        ...waiting,
        schema: { params: JobParams, querystring: WaitQuery, tags, summary: `How the ${kind} stands`, response },
      },
      async (request, reply) =>
        replyWaiting({ parts, request, reply, waitS: request.query.wait_s, defaultWaitS: 0 }, (wait) =>
          getJob(parts, callerOf(request), { id: request.params.job_id, kind }, wait),
        ),
    );
}

/** In a scope of their own: bodies of any type come as a stream. */
export function uploadRoutes(app: App, parts: Parts): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, payload, done) => done(null, payload));
  const upload = { bodyLimit: MAX_UPLOAD_BYTES, ...waiting };
  app.post(
    "/v1/imports",
    { ...upload, schema: { querystring: ImportQuery, tags, summary: "Import tasks; the file is the body", response } },
    async (request) => {
      const caller = callerOf(request);
      checkFormat(parts, request.query.format);
      const data = await readUpload(request.body instanceof Readable ? request.body : Readable.from([]));
      const keyed = {
        caller,
        route: "imports",
        key: idempotencyKey(request),
        body: { ...request.query, upload: sha256(data) },
      };
      return once(parts, keyed, noWait(), { run: () => startImport(parts, caller, request.query, data) });
    },
  );
  app.post(
    "/v1/tasks",
    { ...upload, schema: { tags, summary: "Add one task: a tar of its folder is the body", response } },
    async (request) => {
      const caller = callerOf(request);
      checkFormat(parts, TASK_FORMAT);
      const data = await readUpload(request.body instanceof Readable ? request.body : Readable.from([]));
      const keyed = { caller, route: "tasks", key: idempotencyKey(request), body: { upload: sha256(data) } };
      return once(parts, keyed, noWait(), { run: () => startImport(parts, caller, { format: TASK_FORMAT }, data) });
    },
  );
}

const noWait = () => ({ deadline: steadyNow(), signal: new AbortController().signal });
