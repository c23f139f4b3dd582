import { GymError } from "../../core/errors.ts";
import type { ImageBuild } from "../../core/images.ts";
import type { BuildJob } from "../../core/jobs.ts";
import { Json } from "../../core/json.ts";
import type { BackgroundJob } from "../../core/records.ts";
import type { WantedImage } from "../../docker/image-store/store.ts";
import type { Config } from "../../platform/config.ts";
import { PostponeError } from "../../platform/queues.ts";
import type { WorkerDeps } from "../deps.ts";
import { pinnedTask } from "../pinned-task.ts";
import { BuildLog } from "./build-log.ts";
import { pinnedImages } from "./pinned.ts";

/** How soon work of another machine, or work that waits for other work here, is looked at again. */
const ELSEWHERE_MS = 1_000;
const CANCEL_LOOK_MS = 500;

/** The processor of queue `build`: one job at a time per machine. A job of another machine is left to its workers. */
export async function workOnImages(
  deps: WorkerDeps,
  config: Config,
  job: BuildJob,
  signal: AbortSignal,
): Promise<void> {
  const { store, board } = deps.images;
  if (job.store !== store.id) throw new PostponeError("it is another machine's", ELSEWHERE_MS);
  await using lock = await board.lock(store.id, deps.workerId);
  if (lock === null) throw new PostponeError("other work on images is under way here", ELSEWHERE_MS);
  const record = (await deps.store.job(job.job_id)) ?? newRecord(job);
  if (record.state === "done" || record.state === "failed") return;
  const onBegin = (report: Json): Promise<void> =>
    deps.store.putJob({ ...record, state: "running", report, updated_at: Date.now() });
  const end = await (job.kind === "build" ? build(deps, job, onBegin, signal) : collect(deps, config, job, onBegin));
  await deps.store.putJob({ ...record, ...end, done: 1, total: 1, updated_at: Date.now() });
  await board.publish(store.id, await store.list());
  await deps.mailbox.broadcast({ type: "job", job_id: job.job_id });
  for (const queue of ["episode", "verify"] as const) await deps.queues.wakePostponed(queue);
}

type JobEnd = Pick<BackgroundJob, "state" | "error" | "report">;

type OnBegin = (report: Json) => Promise<void>;

async function build(
  deps: WorkerDeps,
  job: Extract<BuildJob, { kind: "build" }>,
  onBegin: OnBegin,
  signal: AbortSignal,
): Promise<JobEnd> {
  const { store, board } = deps.images;
  const head = { name: job.image, host: store.host, job_id: job.job_id };
  await using log = await BuildLog.open(board, store.id, job.image);
  await using cancelled = await watchCancel(deps, job.job_id);
  let wanted: WantedImage | null = null;
  const say = async (state: ImageBuild["state"], error: string | null): Promise<void> =>
    board.setBuild(store.id, { ...head, state, error, definition: wanted?.definition ?? null, at: Date.now() });
  try {
    wanted = await wantedBy(deps, job);
    await say("running", null);
    await onBegin({ image: job.image });
    cancelled.signal.throwIfAborted();
    const how = { onLog: (line: string) => log.add(line), signal: AbortSignal.any([signal, cancelled.signal]) };
    const { digest } = await store.build(wanted, { ...how, rebuild: job.rebuild });
    await say("done", null);
    deps.log.info({ image: job.image, digest }, "image built");
    return { state: "done", error: null, report: Json.parse({ image: job.image, digest }) };
  } catch (error) {
    // Another process goes on with it, from what is there.
    if (signal.aborted) throw error;
    const why = cancelled.signal.aborted ? `the build of image ${job.image} was cancelled` : describe(error, log);
    await say(cancelled.signal.aborted ? "cancelled" : "failed", why);
    deps.log.warn({ err: error, image: job.image }, "image not built");
    return { state: "failed", error: why, report: Json.parse({ image: job.image, digest: null }) };
  }
}

function describe(error: unknown, log: BuildLog): string {
  const why = error instanceof Error ? error.message : String(error);
  const tail = log.tail();
  return tail === "" ? why : `${why}\n${tail}`;
}

async function wantedBy(deps: WorkerDeps, job: Extract<BuildJob, { kind: "build" }>): Promise<WantedImage> {
  const { store } = deps.images;
  if (job.task === null) return store.wanted({ image: job.image, context: null, workdir: null });
  const task = await pinnedTask(deps.tasks, job.task.id, job.task.version);
  if (task.image !== job.image)
    throw new GymError("image_failed", `${task.id} needs image ${task.image}, not ${job.image}`);
  return store.wanted(task);
}

/** Down to what the job says, else to the low watermark, from whatever there is. */
async function collect(
  deps: WorkerDeps,
  config: Config,
  job: Extract<BuildJob, { kind: "collect" }>,
  onBegin: OnBegin,
): Promise<JobEnd> {
  await onBegin(null);
  const lowBytes = job.keep_bytes ?? config.imagesLowBytes;
  const pinned = await pinnedImages(deps);
  const { removed, bytesBefore, bytesAfter } = await deps.images.store.collect({
    pinned,
    lowBytes,
    highBytes: lowBytes,
  });
  deps.log.info({ removed, bytesBefore, bytesAfter }, "images collected");
  const report = { removed, bytes_before: bytesBefore, bytes_after: bytesAfter };
  return { state: "done", error: null, report: Json.parse(report) };
}

async function watchCancel(
  deps: WorkerDeps,
  jobId: string,
): Promise<AsyncDisposable & { readonly signal: AbortSignal }> {
  const controller = new AbortController();
  if (await deps.images.board.isCancelled(jobId)) controller.abort();
  const timer = setInterval(() => {
    deps.images.board
      .isCancelled(jobId)
      .then((yes) => {
        if (yes) controller.abort();
      })
      .catch(() => undefined); // asked again soon
  }, CANCEL_LOOK_MS);
  return { signal: controller.signal, [Symbol.asyncDispose]: async () => clearInterval(timer) };
}

/** Of work that a worker began by itself. */
function newRecord(job: BuildJob): BackgroundJob {
  const now = Date.now();
  const head = { job_id: job.job_id, kind: "build", owner: "workers", state: "queued" } as const;
  return { ...head, done: 0, total: 1, report: null, error: null, created_at: now, updated_at: now };
}
