import type { QueueName } from "../core/jobs.ts";
import { QUEUE_NAMES } from "../core/jobs.ts";
import { knownDead } from "../platform/presence.ts";
import type { Redis } from "../platform/redis.ts";
import type { WorkerDeps } from "./deps.ts";

/** What operators stopped, as far as it concerns this worker. */
export interface Halts {
  readonly queues: ReadonlySet<QueueName>;
  readonly draining: boolean;
}

/**
 * Reads what operators stopped and puts it into Redis, where it may be forgotten (FLUSHALL, a start without its files) or
 * never have come. Redis is looked at before the store: whoever pauses writes there first, so a word that is on its way is
 * not taken back.
 */
export async function restoreHalts({
  store,
  queues,
  workerId,
}: Pick<WorkerDeps, "store" | "queues" | "workerId">): Promise<Halts> {
  const looked = await Promise.all(QUEUE_NAMES.map(async (name) => ({ name, paused: await queues.isPaused(name) })));
  const [halted, workers] = [await store.halted("queue"), await store.halted("worker")];
  for (const { name, paused } of looked)
    if (paused !== halted.includes(name)) await (paused ? queues.resume(name) : queues.pause(name));
  return {
    queues: new Set(QUEUE_NAMES.filter((name) => halted.includes(name))),
    draining: workers.includes(workerId),
  };
}

/** A worker's id is never used again. */
export async function forgetDeadWorkers({ store }: Pick<WorkerDeps, "store">, redis: Redis): Promise<void> {
  for (const id of await knownDead(redis, await store.halted("worker"))) await store.letGoOn("worker", id);
}
