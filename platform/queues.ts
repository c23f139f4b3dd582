import { Queue } from "bullmq";
import { GymError } from "../core/errors.ts";
import type { JobId } from "../core/ids.ts";
import {
  type BuildJob,
  type EpisodeJob,
  type ImportJob,
  QUEUE_NAMES,
  type QueueName,
  type ValidationJob,
  type VerifyJob,
} from "../core/jobs.ts";
import { type JobOf, jobSchemas } from "./job-schemas.ts";
import { connectRedis, type Redis } from "./redis.ts";

export { PostponeError, type QueueWorker, workQueue } from "./queue-worker.ts";

/** Finished jobs are kept for the dashboard only. */
const KEEP_COMPLETED = { count: 200, age: 3_600 };
const KEEP_FAILED = { count: 1_000, age: 7 * 86_400 };
/** A caller is told that the queue does not answer, rather than waiting for Redis to come back. */
const ANSWER_TIMEOUT_MS = 5_000;
const LIVE_STATES = ["waiting", "active", "delayed", "prioritized", "waiting-children"];

export interface QueueCounts {
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
  readonly failed: number;
  readonly completed: number;
}

/** Adding is idempotent: a job that waits or runs is left as it is. All methods throw GymError `queue_failed`. */
export interface Queues {
  addEpisode(job: EpisodeJob): Promise<void>;
  /** `attempt` counts from 1; a verification that is to run again is a new attempt. */
  addVerify(job: VerifyJob, options: { attempt: number }): Promise<void>;
  addImport(job: ImportJob): Promise<void>;
  addValidation(job: ValidationJob): Promise<void>;
  /** One per image and machine: answers the id of the job that waits or runs, which may be an earlier one. */
  addBuild(job: BuildJob): Promise<JobId>;
  /** Id of the build of this image on this machine that waits or runs; null when there is none. */
  liveBuild(store: string, image: string): Promise<JobId | null>;
  /** Lets this job be taken at once, if it was postponed. */
  wake(queue: QueueName, id: string): Promise<void>;
  /** Lets every job that was postponed be taken at once. */
  wakePostponed(queue: QueueName): Promise<void>;
  counts(): Promise<Record<QueueName, QueueCounts>>;
  /** When the job that waits longest was added, epoch ms; null when none waits. */
  oldestWaiting(queue: QueueName): Promise<number | null>;
  /** True while nothing is taken from it. Redis may forget it; the operator's word is in the store. */
  isPaused(queue: QueueName): Promise<boolean>;
  /** Nothing more is taken from it, at any worker, until it is resumed; what runs goes on. Idempotent. */
  pause(queue: QueueName): Promise<void>;
  resume(queue: QueueName): Promise<void>;
  /** Place of a waiting job, 1 being the next to be taken; null when it does not wait. */
  position(queue: QueueName, id: string): Promise<number | null>;
  /** True while the job waits or runs. */
  hasJob(queue: QueueName, id: string): Promise<boolean>;
  /**
   * Puts the running jobs of a dead process back at the head of their queues at once, instead of after the stall check.
   * Answers their ids. Only for a process known to be dead.
   */
  releaseJobs(processId: string): Promise<string[]>;
  /** For the dashboard. */
  bullQueue(queue: QueueName): Queue;
  close(): Promise<void>;
}

export const episodeJobId = (job: EpisodeJob): string => `${job.episode_id}-t${job.term}`;
export const verifyJobId = (job: VerifyJob, attempt: number): string =>
  job.kind === "episode" ? `${job.episode_id}-t${job.term}-v${attempt}` : `submission-${job.correlation}-v${attempt}`;

export const buildJobId = (job: BuildJob): string => `${job.store}-${job.kind === "build" ? job.image : "collect"}`;

export function openQueues({ url }: { url: string }): Queues {
  const redis = connectRedis(url);
  const queues = new Map(QUEUE_NAMES.map((name) => [name, openQueue(name, redis)]));
  const queueOf = (name: QueueName): Queue => {
    const queue = queues.get(name);
    if (queue === undefined) throw new TypeError(`there is no queue ${name}`);
    return queue;
  };
  const add = <Q extends QueueName>(name: Q, id: string, job: JobOf[Q]) =>
    attempted(() => addJob(queueOf(name), id, job));
  return {
    addEpisode: (job) => add("episode", episodeJobId(job), job),
    addVerify: (job, { attempt }) => add("verify", verifyJobId(job, attempt), job),
    addImport: (job) => add("import", job.job_id, job),
    addValidation: (job) => add("validation", job.job_id, job),
    addBuild: async (job) => {
      const id = buildJobId(job);
      await add("build", id, job);
      return await attempted(async () => {
        const live = await queueOf("build").getJob(id);
        return live === undefined ? job.job_id : jobSchemas.build.parse(live.data).job_id;
      });
    },
    liveBuild: (store, image) =>
      attempted(async () => {
        const job = await queueOf("build").getJob(`${store}-${image}`);
        if (job === undefined || !LIVE_STATES.includes(await job.getState())) return null;
        return jobSchemas.build.parse(job.data).job_id;
      }),
    wake: (name, id) =>
      attempted(async () => {
        const job = await queueOf(name).getJob(id);
        if (job !== undefined && (await job.isDelayed())) await job.promote();
      }),
    wakePostponed: (name) => attempted(() => queueOf(name).promoteJobs()),
    counts: () =>
      attempted(async () => {
        const counted = await Promise.all(
          QUEUE_NAMES.map(async (name) => [name, await countJobs(queueOf(name))] as const),
        );
        return Object.fromEntries(counted) as Record<QueueName, QueueCounts>; // one entry per name
      }),
    oldestWaiting: (name) => attempted(async () => (await queueOf(name).getWaiting(0, 0))[0]?.timestamp ?? null),
    isPaused: (name) => attempted(() => queueOf(name).isPaused()),
    pause: (name) => attempted(() => queueOf(name).pause()),
    resume: (name) => attempted(() => queueOf(name).resume()),
    position: (name, id) => attempted(() => positionOf(queueOf(name), redis, id)),
    hasJob: (name, id) => attempted(async () => LIVE_STATES.includes(await queueOf(name).getJobState(id))),
    releaseJobs: (processId) =>
      attempted(async () =>
        (await Promise.all([...queues.values()].map((q) => releaseFrom(q, redis, processId)))).flat(),
      ),
    bullQueue: queueOf,
    close: async () => {
      const closing = Promise.allSettled([...queues.values()].map((queue) => queue.close()));
      redis.disconnect();
      await closing;
    },
  };
}

function openQueue(name: QueueName, connection: Redis): Queue {
  const queue = new Queue(name, {
    connection,
    defaultJobOptions: { attempts: 1, removeOnComplete: KEEP_COMPLETED, removeOnFail: KEEP_FAILED },
  });
  // Whoever calls sees the failure of the call; a lost connection comes back by itself.
  queue.on("error", () => undefined);
  return queue;
}

/**
 * BullMQ ignores an id that it still knows, finished or not; so a finished one is removed first. That of a submission was
 * drawn for this one job, which is never to run again.
 */
async function addJob(queue: Queue, id: string, data: JobOf[QueueName]): Promise<void> {
  if ("correlation" in data) {
    await queue.add(queue.name, data, { jobId: id });
    return;
  }
  const state = await queue.getJobState(id);
  if (LIVE_STATES.includes(state)) return;
  if (state !== "unknown") await queue.remove(id);
  await queue.add(queue.name, data, { jobId: id });
}

/** New jobs come in at the left of the list, the next to be taken is at its right. */
async function positionOf(queue: Queue, redis: Redis, id: string): Promise<number | null> {
  const key = queue.toKey("wait");
  const [length, index] = await Promise.all([redis.llen(key), redis.lpos(key, id)]);
  return index === null ? null : Math.max(1, length - index);
}

async function countJobs(queue: Queue): Promise<QueueCounts> {
  const counts = await queue.getJobCounts("waiting", "active", "delayed", "failed", "completed");
  const of = (state: string) => counts[state] ?? 0;
  return {
    waiting: of("waiting"),
    active: of("active"),
    delayed: of("delayed"),
    failed: of("failed"),
    completed: of("completed"),
  };
}

async function releaseFrom(queue: Queue, redis: Redis, processId: string): Promise<string[]> {
  const jobs = (await queue.getActive()).filter((job) => job?.processedBy === processId);
  const released: string[] = [];
  for (const job of jobs) {
    if (job.id === undefined) continue;
    const token = await redis.get(`${queue.toKey(job.id)}:lock`);
    if (token !== null) await job.moveToWait(token);
    if (token !== null) released.push(job.id);
  }
  return released;
}

async function attempted<T>(work: () => Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new Error(`no answer from Redis for ${ANSWER_TIMEOUT_MS} ms`)),
    ANSWER_TIMEOUT_MS,
  );
  try {
    return await Promise.race([work(), late.promise]);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new GymError("queue_failed", `the queue did not take the call: ${message}`, {
      retryable: true,
      cause: error,
    });
  } finally {
    clearTimeout(timer);
  }
}
