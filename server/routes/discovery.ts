import * as z from "zod";
import { ProblemError } from "../../core/errors.ts";
import { Digest } from "../../core/ids.ts";
import { Presence } from "../../core/mail.ts";
import { filterFor } from "../auth/caller.ts";
import { callerOf } from "../auth/guard.ts";
import {
  FrameworkItem,
  frameworkItem,
  MatrixCell,
  matrixOf,
  TaskDetail,
  TaskItem,
  taskDetail,
  taskItem,
  VerifierItem,
  verifierItem,
} from "../discovery.ts";
import { matcher } from "../jobs.ts";
import type { Parts } from "../parts.ts";
import { type App, answers, listOf, PageQuery, pageOf, RestParams } from "./app.ts";

const MatrixQuery = z.object({
  task: z.string().max(256).default("*").describe("id, * stands for any characters"),
  framework: z.string().max(256).default("*"),
});

const Matrix = z.object({
  tasks: z.array(z.string()),
  frameworks: z.array(z.string()),
  verifiers: z.array(z.string()),
  cells: z.array(MatrixCell),
});

export function discoveryRoutes(app: App, parts: Parts): void {
  const tags = ["discovery"];
  const page = { querystring: PageQuery, tags };
  app.get(
    "/v1/tasks",
    { schema: { ...page, summary: "Tasks", response: answers(listOf(TaskItem)) } },
    async (request) => {
      const listed = pageOf(await parts.cells.tasks(callerOf(request)), request.query);
      return { ...listed, items: await Promise.all(listed.items.map((summary) => taskItem(parts, summary))) };
    },
  );
  app.get(
    "/v1/tasks/*",
    { schema: { params: RestParams, tags, summary: "One task", response: answers(TaskDetail) } },
    async (request) => taskDetail(parts, callerOf(request), request.params["*"]),
  );
  app.get(
    "/v1/frameworks",
    { schema: { ...page, summary: "Frameworks", response: answers(listOf(FrameworkItem)) } },
    async (request) => pageOf(parts.cells.frameworks(callerOf(request)).map(frameworkItem).sort(byId), request.query),
  );
  app.get(
    "/v1/frameworks/*",
    { schema: { params: RestParams, tags, summary: "One framework", response: answers(FrameworkItem) } },
    async (request) => frameworkItem(parts.cells.framework(callerOf(request), request.params["*"])),
  );
  app.get(
    "/v1/verifiers",
    { schema: { ...page, summary: "Verifiers", response: answers(listOf(VerifierItem)) } },
    async (request) => pageOf(parts.cells.verifiers(callerOf(request)).map(verifierItem).sort(byId), request.query),
  );
  app.get(
    "/v1/verifiers/*",
    { schema: { params: RestParams, tags, summary: "One verifier", response: answers(VerifierItem) } },
    async (request) => verifierItem(parts.cells.verifier(callerOf(request), request.params["*"])),
  );
  app.get(
    "/v1/matrix",
    { schema: { querystring: MatrixQuery, tags, summary: "What fits with what", response: answers(Matrix) } },
    async (request) => {
      const caller = callerOf(request);
      const wanted = { task: matcher(request.query.task), framework: matcher(request.query.framework) };
      const cells = await matrixOf(parts, caller, wanted);
      return {
        tasks: [...new Set(cells.map((cell) => cell.task_id))],
        frameworks: [...new Set(cells.map((cell) => cell.framework))],
        verifiers: [...new Set(cells.flatMap((cell) => cell.verifiers))].sort(),
        cells,
      };
    },
  );
}

const byId = (a: { id: string }, b: { id: string }): number => (a.id < b.id ? -1 : 1);

const Counts = z.object({
  total: z.int(),
  state: z.record(z.string(), z.int()),
  outcome: z.record(z.string(), z.int()),
});
const QueueCounts = z.record(z.string(), z.record(z.string(), z.int()));
const Capacity = z.object({
  workers: z.int(),
  live: z.int().describe("episodes in workers"),
  capacity: z.int().describe("how many they take"),
  free: z.int(),
  demand: z.int().describe("places taken or waited for: what autoscaling divides by a worker's places"),
  sandboxes: z.int(),
  queues: QueueCounts,
});
const Run = z.object({ run: z.string(), counts: Counts, last_at: z.int() });

export function occupancyRoutes(app: App, parts: Parts): void {
  const tags = ["looking"];
  app.get(
    "/v1/capacity",
    { schema: { tags, summary: "How much room there is", response: answers(Capacity) } },
    async () => {
      const workers = await parts.occupancy.workers();
      const sum = (of: (worker: Presence) => number): number =>
        workers.reduce((total, worker) => total + of(worker), 0);
      const running = workers.filter((worker) => worker.state === "running");
      const live = sum((worker) => worker.live);
      const queues = await parts.queues.counts();
      return {
        workers: workers.length,
        live,
        capacity: sum((worker) => worker.capacity),
        free: running.reduce((total, worker) => total + Math.max(0, worker.capacity - worker.live), 0),
        demand: live + queues.episode.waiting,
        sandboxes: sum((worker) => worker.sandboxes),
        queues: plainCounts(queues),
      };
    },
  );
  app.get(
    "/v1/workers",
    { schema: { tags, summary: "Worker processes", response: answers(listOf(Presence)) } },
    async () => ({ items: await parts.workers(), next: null }), // as they are now: who asks may be about to act on one
  );
  app.get(
    "/v1/runs",
    { schema: { tags, summary: "Runs, latest first", response: answers(listOf(Run)) } },
    async (request) => {
      const runs = await parts.store.runs(filterFor(callerOf(request), {}));
      return {
        items: runs.map(({ run, counts: { total, state, outcome }, last_at }) => ({
          run,
          counts: { total, state: { ...state }, outcome: { ...outcome } },
          last_at,
        })),
        next: null,
      };
    },
  );
  app.get(
    "/v1/blobs/:digest",
    { schema: { params: z.object({ digest: Digest }), tags, summary: "A large value, by its digest" } },
    async (request, reply) => {
      const data = await parts.store.blob(request.params.digest);
      if (data === null)
        throw new ProblemError(
          "not_found",
          `there is no blob ${request.params.digest}`,
          "digests come in answers and events",
        );
      return reply
        .type("application/octet-stream")
        .header("content-disposition", "attachment")
        .send(Buffer.from(data.buffer, data.byteOffset, data.byteLength));
    },
  );
}

const plainCounts = (counts: Awaited<ReturnType<Parts["queues"]["counts"]>>): z.infer<typeof QueueCounts> =>
  Object.fromEntries(Object.entries(counts).map(([queue, of]) => [queue, { ...of }]));
