import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { newEpisodeId, newJobId, sha256 } from "../../core/ids.ts";
import { type EpisodeJob, QUEUE_NAMES } from "../../core/jobs.ts";
import {
  episodeJobId,
  openQueues,
  PostponeError,
  type Queues,
  type QueueWorker,
  workQueue,
} from "../../platform/queues.ts";
import { connectRedis, type Redis } from "../../platform/redis.ts";
import { openTestRedis, type TestRedis } from "../test-redis.ts";

const log = pino({ level: "silent" });
const DEADLINE = { timeout: 10_000, interval: 10 };
let server: TestRedis;
let redis: Redis;
let queues: Queues;
const workers: QueueWorker[] = [];
const children: ChildProcess[] = [];
const lost: string[] = [];

beforeEach(async () => {
  server = await openTestRedis();
  redis = connectRedis(server.url);
  queues = openQueues({ url: server.url });
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  for (const worker of workers.splice(0)) await worker.close(true);
  lost.length = 0;
  await queues.close();
  redis.disconnect();
  await server[Symbol.asyncDispose]();
});

type Handler = (job: EpisodeJob, signal: AbortSignal, meta: { jobId: string }) => Promise<void>;

function work(handler: Handler, concurrency = 4, halted = async () => false): QueueWorker {
  const onLockLost = (jobId: string) => void lost.push(jobId);
  const worker = workQueue(
    { url: server.url, queue: "episode", concurrency, processId: "worker_a", log, halted, onLockLost },
    handler,
  );
  workers.push(worker);
  return worker;
}

const newJob = (): EpisodeJob => ({ episode_id: newEpisodeId(), term: 1 });
const forever = () => Promise.withResolvers<void>().promise;

test("the names of the queues are fixed", () => {
  expect(QUEUE_NAMES).toEqual(["episode", "verify", "import", "validation", "build"]);
});

test("a job reaches a handler as it was added, with its id", async () => {
  const job = newJob();
  const seen: unknown[] = [];
  work(async (got, _signal, meta) => void seen.push(got, meta));
  await queues.addEpisode(job);
  await vi.waitFor(() => expect(seen).toEqual([job, { jobId: `${job.episode_id}-t1` }]), DEADLINE);
});

test("every queue takes its jobs under ids that name what they are about", async () => {
  const { episode_id } = newJob();
  const [importId, validationId] = [newJobId(), newJobId()];
  const submission = { kind: "submission", correlation: "c1", server: "server_a", request: sha256("r") } as const;
  await queues.addVerify({ kind: "episode", episode_id, term: 2 }, { attempt: 3 });
  await queues.addVerify(submission, { attempt: 1 });
  await queues.addImport({ job_id: importId, format: "humaneval", upload: sha256("u"), source: null });
  await queues.addValidation({ job_id: validationId, tasks: ["a/*"], frameworks: [], verifiers: null });
  expect(await queues.hasJob("verify", `${episode_id}-t2-v3`)).toBe(true);
  expect(await queues.hasJob("verify", "submission-c1-v1")).toBe(true);
  expect(await queues.hasJob("import", importId)).toBe(true);
  expect(await queues.hasJob("validation", validationId)).toBe(true);
  expect((await queues.counts()).verify).toMatchObject({ waiting: 2, active: 0 });
  expect(Date.now() - ((await queues.oldestWaiting("verify")) ?? 0)).toBeLessThan(10_000);
  expect(await queues.oldestWaiting("episode")).toBeNull();
});

test("a job that waits or runs is not added again, one that ended is", async () => {
  const job = newJob();
  let runs = 0;
  const gate = Promise.withResolvers<void>();
  await queues.addEpisode(job);
  await queues.addEpisode(job);
  work(async () => {
    runs++;
    await gate.promise;
  });
  await vi.waitFor(() => expect(runs).toBe(1), DEADLINE);
  await queues.addEpisode(job);
  expect(await queues.hasJob("episode", episodeJobId(job))).toBe(true);
  gate.resolve();
  await vi.waitFor(async () => expect(await queues.hasJob("episode", episodeJobId(job))).toBe(false), DEADLINE);
  expect(runs).toBe(1);
  await queues.addEpisode(job);
  await vi.waitFor(() => expect(runs).toBe(2), DEADLINE);
});

test("a job that reaches a worker while its queue is halted elsewhere than in Redis goes back and waits", async () => {
  const job = newJob();
  const seen: string[] = [];
  let halted = true;
  const handler = async ({ episode_id }: EpisodeJob) => void seen.push(episode_id);
  const asked = vi.fn(async () => {
    if (halted) await queues.pause("episode");
    return halted;
  });
  const worker = work(handler, 4, asked);
  await queues.addEpisode(job);
  await vi.waitFor(() => expect(asked).toHaveBeenCalled(), DEADLINE);
  await vi.waitFor(async () => expect(await queues.position("episode", episodeJobId(job))).toBe(1), DEADLINE);
  expect(worker.running).toBe(0);
  expect(seen).toEqual([]);
  halted = false;
  await queues.resume("episode");
  await vi.waitFor(() => expect(seen).toEqual([job.episode_id]), DEADLINE);
});

test("a handler that throws fails its job, and others go on", async () => {
  const [bad, good] = [newJob(), newJob()];
  const seen: string[] = [];
  work(async (job) => {
    if (job.episode_id === bad.episode_id) throw new Error("broken");
    seen.push(job.episode_id);
  }, 1);
  await queues.addEpisode(bad);
  await queues.addEpisode(good);
  await vi.waitFor(() => expect(seen).toEqual([good.episode_id]), DEADLINE);
  await vi.waitFor(
    async () => expect((await queues.counts()).episode).toMatchObject({ failed: 1, completed: 1 }),
    DEADLINE,
  );
});

test("a job that is none, or that is far too large, fails alone and never reaches a handler", async () => {
  const seen: EpisodeJob[] = [];
  work(async (job) => void seen.push(job), 1);
  const raw = queues.bullQueue("episode");
  const poison: unknown[] = [
    null,
    7,
    [],
    { episode_id: "../../x", term: 1 },
    { episode_id: newEpisodeId(), term: "1; DROP" },
    { episode_id: newEpisodeId(), term: -1 },
    JSON.parse('{"__proto__":{"polluted":1},"episode_id":7}'),
    { episode_id: "x".repeat(10_000_000), term: 1 },
  ];
  for (const [i, data] of poison.entries()) await raw?.add("episode", data, { jobId: `poison-${i}` });
  const good = newJob();
  await queues.addEpisode(good);
  await vi.waitFor(() => expect(seen).toEqual([good]), DEADLINE);
  await vi.waitFor(
    async () => expect((await queues.counts()).episode).toMatchObject({ failed: poison.length }),
    DEADLINE,
  );
  expect(Reflect.get({}, "polluted")).toBeUndefined();
});

test("runs as many at once as it may, and no more", async () => {
  const worker = work(forever, 3);
  for (let i = 0; i < 5; i++) await queues.addEpisode(newJob());
  await vi.waitFor(
    async () => expect((await queues.counts()).episode).toMatchObject({ active: 3, waiting: 2 }),
    DEADLINE,
  );
  expect(worker.running).toBe(3);
});

test("a paused worker takes nothing until it resumes", async () => {
  const seen: string[] = [];
  const worker = work(async (job) => void seen.push(job.episode_id));
  const first = newJob();
  await queues.addEpisode(first);
  await vi.waitFor(() => expect(seen).toHaveLength(1), DEADLINE);
  await worker.pause();
  // What was under way before the pause may still come; from here on the queue stands still.
  const [taken, left] = [newJob(), newJob()];
  await queues.addEpisode(taken);
  await queues.addEpisode(left);
  await worker.resume();
  await vi.waitFor(() => expect(seen).toHaveLength(3), DEADLINE);
});

test("closing waits for the jobs that run", async () => {
  const gate = Promise.withResolvers<void>();
  const started = Promise.withResolvers<void>();
  let ended = false;
  const worker = work(async () => {
    started.resolve();
    await gate.promise;
    ended = true;
  });
  await queues.addEpisode(newJob());
  await started.promise;
  const closing = worker.close();
  gate.resolve();
  await closing;
  expect(ended).toBe(true);
});

test("closing by force stops them and leaves them to others", async () => {
  const job = newJob();
  const started = Promise.withResolvers<AbortSignal>();
  const worker = work((_job, signal) => {
    started.resolve(signal);
    return forever();
  });
  await queues.addEpisode(job);
  const signal = await started.promise;
  await worker.close(true);
  expect(signal.aborted).toBe(true);
  expect(await queues.hasJob("episode", episodeJobId(job))).toBe(true);
});

test("the jobs of a killed process are taken by another as soon as they are released", async () => {
  const job = newJob();
  const script = join(import.meta.dirname, "queue-runner.ts");
  const child = spawn(process.execPath, [script, server.url, "worker_dead"], { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  const taken = createInterface(child.stdout);
  await queues.addEpisode(job);
  for await (const line of taken) if (line === episodeJobId(job)) break;
  child.kill("SIGKILL");
  expect(await queues.releaseJobs("worker_other")).toEqual([]);
  expect(await queues.releaseJobs("worker_dead")).toEqual([episodeJobId(job)]);
  const again = Promise.withResolvers<string>();
  work(async (_job, _signal, meta) => again.resolve(meta.jobId));
  expect(await again.promise).toBe(episodeJobId(job));
});

test("the jobs of a lost host are taken by another when their locks are over", async () => {
  const job = newJob();
  const script = join(import.meta.dirname, "queue-runner.ts");
  const child = spawn(process.execPath, [script, server.url, "worker_dead"], { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  await queues.addEpisode(job);
  for await (const line of createInterface(child.stdout)) if (line === episodeJobId(job)) break;
  child.kill("SIGKILL");
  const began = Date.now();
  const again = Promise.withResolvers<void>();
  work(async () => again.resolve());
  await again.promise;
  expect(Date.now() - began).toBeLessThan(20_000);
}, 40_000);

test("losing the lock of a job aborts it and says so", async () => {
  const job = newJob();
  const started = Promise.withResolvers<AbortSignal>();
  work((_job, signal) => {
    started.resolve(signal);
    return forever();
  });
  await queues.addEpisode(job);
  const signal = await started.promise;
  await redis.set(`bull:episode:${episodeJobId(job)}:lock`, "somebody else");
  await vi.waitFor(() => expect(signal.aborted).toBe(true), { timeout: 15_000, interval: 20 });
  expect(lost).toContain(episodeJobId(job));
}, 30_000);

test("a worker goes on after Redis was killed", async () => {
  const seen: string[] = [];
  work(async (job) => void seen.push(job.episode_id));
  const [first, second] = [newJob(), newJob()];
  await queues.addEpisode(first);
  await vi.waitFor(() => expect(seen).toHaveLength(1), DEADLINE);
  process.kill(Number(/process_id:(\d+)/.exec(await redis.info("server"))?.[1]), "SIGKILL");
  await vi.waitFor(() => queues.addEpisode(second), { timeout: 20_000, interval: 50 });
  await vi.waitFor(() => expect(seen).toContain(second.episode_id), { timeout: 20_000, interval: 20 });
}, 60_000);

test("a worker that stopped taking jobs is replaced", async () => {
  const seen: string[] = [];
  work(async (job) => void seen.push(job.episode_id));
  // A rate limit puts the worker to sleep for half a minute, and lifting it does not wake it: as a lost wake-up would.
  const episodes = queues.bullQueue("episode");
  await episodes?.setGlobalRateLimit(1, 60_000);
  const [first, second] = [newJob(), newJob()];
  await queues.addEpisode(first);
  await queues.addEpisode(second);
  await vi.waitFor(() => expect(seen).toEqual([first.episode_id]), DEADLINE);
  await vi.waitFor(async () => expect(await redis.pttl("bull:episode:limiter")).toBeGreaterThan(0), DEADLINE);
  await episodes?.removeGlobalRateLimit();
  await redis.del("bull:episode:limiter");
  const began = Date.now();
  await vi.waitFor(() => expect(seen).toContain(second.episode_id), { timeout: 20_000, interval: 50 });
  expect(Date.now() - began).toBeGreaterThan(5_000);
}, 60_000);

test("a job that is postponed gives its place up and is taken again when it is woken", async () => {
  const first = newJob();
  const second = newJob();
  const seen: string[] = [];
  let isReady = false;
  work(async (job) => {
    seen.push(job.episode_id);
    if (job.episode_id === first.episode_id && !isReady) throw new PostponeError("not yet", 60_000);
  }, 1);
  await queues.addEpisode(first);
  await vi.waitFor(async () => expect((await queues.counts()).episode.delayed).toBe(1), DEADLINE);
  await queues.addEpisode(second);
  await vi.waitFor(() => expect(seen).toEqual([first.episode_id, second.episode_id]), DEADLINE);
  expect(await queues.hasJob("episode", episodeJobId(first))).toBe(true);
  isReady = true;
  await queues.wakePostponed("episode");
  await vi.waitFor(() => expect(seen).toEqual([first.episode_id, second.episode_id, first.episode_id]), DEADLINE);
  await vi.waitFor(
    async () => expect((await queues.counts()).episode).toMatchObject({ delayed: 0, failed: 0 }),
    DEADLINE,
  );
});

test("a build of an image that waits or runs on a machine is joined, not added again", async () => {
  const build = { kind: "build" as const, store: "machine1", image: "python", task: null, rebuild: false };
  const first = newJobId();
  expect(await queues.addBuild({ ...build, job_id: first })).toBe(first);
  expect(await queues.addBuild({ ...build, job_id: newJobId() })).toBe(first);
  expect(await queues.liveBuild("machine1", "python")).toBe(first);
  const other = newJobId();
  expect(await queues.addBuild({ ...build, store: "machine2", job_id: other })).toBe(other);
  expect(await queues.liveBuild("machine1", "c")).toBeNull();
});

test("a queue that is not there is an error, not a wait without end", async () => {
  const gone = openQueues({ url: `unix://${join(server.config.home, "no.sock")}` });
  await expect(gone.addEpisode(newJob())).rejects.toMatchObject({ code: "queue_failed", retryable: true });
  await gone.close();
}, 30_000);
