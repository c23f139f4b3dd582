import { DelayedError, type Job, WaitingError, Worker } from "bullmq";
import type { QueueName } from "../core/jobs.ts";
import { type JobOf, jobSchemas } from "./job-schemas.ts";
import type { Logger } from "./log.ts";
import { connectRedis } from "./redis.ts";

/** A lock that its holder has not renewed for this long is another's to take (runtime.md §2). */
const LOCK_MS = 8_000;
const STALLED_EVERY_MS = 3_000;
/** Losing an owner is counted by terms in the store, not by BullMQ, which would fail the job unseen. */
const MAX_STALLED = 1_000;
/** How soon fetching goes on after a lost connection. */
const FETCH_RETRY_MS = 500;
const BLOCK_S = 2;
/** A worker that takes nothing for this long while jobs wait and it has room has stopped (faults.md §5.2). */
const SILENT_MS = 10_000;
const WATCH_EVERY_MS = 2_000;

export interface WorkQueueOptions<Q extends QueueName> {
  readonly url: string;
  readonly queue: Q;
  /** Jobs at once. */
  readonly concurrency: number;
  readonly log: Logger;
  /** Id of this process, by which its jobs are found when it died. */
  readonly processId?: string;
  /** Asked before each job: whether none is to be started, whatever Redis says, which may have forgotten a pause. */
  readonly halted: () => Promise<boolean>;
  /** Another process may run the job from now on; its signal is aborted already. */
  readonly onLockLost: (jobId: string) => void;
}

export type JobHandler<Q extends QueueName> = (
  job: JobOf[Q],
  signal: AbortSignal,
  meta: { jobId: string },
) => Promise<void>;

/** Thrown by a handler whose job cannot run yet: it gives its place up and is taken again after `ms`, or when woken. */
export class PostponeError extends Error {
  override readonly name = "PostponeError";
  readonly ms: number;

  constructor(why: string, ms: number) {
    super(why);
    this.ms = ms;
  }
}

export interface QueueWorker {
  /** Jobs that run here now. */
  readonly running: number;
  /** Takes no new jobs; the running ones go on. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Waits for the running jobs; with `force` it aborts them and leaves them to other processes. Idempotent. */
  close(force?: boolean): Promise<void>;
}

/** Runs the jobs of a queue. A handler that throws fails its job; the store says what becomes of the episode. */
export function workQueue<Q extends QueueName>(options: WorkQueueOptions<Q>, handler: JobHandler<Q>): QueueWorker {
  return new WatchedWorker(options, handler);
}

interface Run {
  readonly jobId: string;
  readonly worker: Worker;
  readonly controller: AbortController;
}

/**
 * A BullMQ worker that is replaced when it stops taking jobs. The old one keeps renewing the locks of its running jobs until
 * they end.
 */
class WatchedWorker<Q extends QueueName> implements QueueWorker {
  readonly #options: WorkQueueOptions<Q>;
  readonly #handler: JobHandler<Q>;
  readonly #runs = new Set<Run>();
  readonly #retired = new Set<Worker>();
  readonly #redis;
  readonly #timer: NodeJS.Timeout;
  #worker: Worker;
  #paused = false;
  #closing: Promise<void> | null = null;
  /** When the current worker last took a job, or had no reason to. */
  #alive = performance.now();

  constructor(options: WorkQueueOptions<Q>, handler: JobHandler<Q>) {
    this.#options = options;
    this.#handler = handler;
    this.#redis = connectRedis(options.url);
    this.#worker = this.#open();
    this.#timer = setInterval(() => {
      this.#watch().catch((error: unknown) => options.log.debug({ err: error }, "queue not looked at"));
    }, WATCH_EVERY_MS);
    this.#timer.unref();
  }

  get running(): number {
    return this.#runs.size;
  }

  async pause(): Promise<void> {
    this.#paused = true;
    await this.#worker.pause(true);
  }

  async resume(): Promise<void> {
    this.#paused = false;
    this.#alive = performance.now();
    await this.#worker.resume();
  }

  close(force = false): Promise<void> {
    if (force) for (const run of this.#runs) run.controller.abort();
    this.#closing ??= this.#close(force);
    return this.#closing;
  }

  async #close(force: boolean): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all([this.#worker, ...this.#retired].map((worker) => worker.close(force)));
    this.#redis.disconnect();
  }

  #open(): Worker {
    const { queue, log, processId } = this.#options;
    const worker: Worker = new Worker(queue, (job: Job, token) => this.#run(job, worker, token), {
      connection: this.#redis,
      concurrency: this.#room(),
      lockDuration: LOCK_MS,
      stalledInterval: STALLED_EVERY_MS,
      maxStalledCount: MAX_STALLED,
      runRetryDelay: FETCH_RETRY_MS,
      drainDelay: BLOCK_S,
      ...(processId === undefined ? {} : { name: processId }),
    });
    worker.on("lockRenewalFailed", (ids) => this.#lockLost(ids));
    worker.on("stalled", (jobId) => log.warn({ queue, jobId }, "job of a lost owner goes back to its queue"));
    worker.on("error", (error) => log.debug({ queue, err: error }, "queue worker error"));
    return worker;
  }

  async #run(job: Job, worker: Worker, token: string | undefined): Promise<void> {
    this.#alive = performance.now();
    const { queue, log, halted } = this.#options;
    const jobId = job.id ?? "";
    // It was on its way here when this process was told to take no more.
    if (this.#paused || (await halted()) || this.#paused) {
      await job.moveToWait(token);
      throw new WaitingError();
    }
    const run: Run = { jobId, worker, controller: new AbortController() };
    this.#runs.add(run);
    try {
      await this.#handler(jobSchemas[queue].parse(job.data), run.controller.signal, { jobId });
    } catch (error) {
      if (error instanceof PostponeError) {
        await job.moveToDelayed(Date.now() + error.ms, token);
        throw new DelayedError();
      }
      log.error({ queue, jobId, err: error }, "job failed");
      throw error;
    } finally {
      this.#runs.delete(run);
      this.#alive = performance.now();
      if (run.worker !== this.#worker) this.#worker.concurrency = this.#room();
    }
  }

  /** What the current worker may run beside the jobs of retired ones. */
  #room(): number {
    const elsewhere = [...this.#runs].filter((run) => this.#retired.has(run.worker)).length;
    return Math.max(1, this.#options.concurrency - elsewhere);
  }

  #lockLost(ids: readonly string[]): void {
    for (const jobId of ids) {
      for (const run of this.#runs) if (run.jobId === jobId) run.controller.abort(new Error(`lock of ${jobId} lost`));
      this.#options.onLockLost(jobId);
    }
  }

  async #watch(): Promise<void> {
    const { queue, concurrency, log } = this.#options;
    const idle = this.#paused || this.#runs.size >= concurrency || this.#closing !== null;
    if (idle || !(await this.#jobsWait())) {
      this.#alive = performance.now();
      return;
    }
    const silentMs = performance.now() - this.#alive;
    if (silentMs < SILENT_MS || this.#closing !== null || this.#paused) return;
    log.error({ queue, silentMs: Math.round(silentMs) }, "queue worker took no jobs, replacing it");
    this.#replace();
  }

  async #jobsWait(): Promise<boolean> {
    const pausedForAll = await this.#redis.hexists(this.#worker.toKey("meta"), "paused");
    return pausedForAll === 0 && (await this.#redis.llen(this.#worker.toKey("wait"))) > 0;
  }

  #replace(): void {
    const old = this.#worker;
    this.#retired.add(old);
    old
      .close()
      .catch((error: unknown) => this.#options.log.debug({ err: error }, "retired queue worker"))
      .finally(() => this.#retired.delete(old));
    this.#alive = performance.now();
    this.#worker = this.#open();
  }
}
