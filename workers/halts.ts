import type { QueueName } from "../core/jobs.ts";
import { QUEUE_NAMES } from "../core/jobs.ts";
import type { Presence } from "../core/mail.ts";
import { knownDead } from "../platform/presence.ts";
import type { Redis } from "../platform/redis.ts";
import type { WorkerDeps } from "./deps.ts";

/**
 * Puts the queues that operators paused into Redis, where it may be forgotten (FLUSHALL, a start without its files) or
 * never have come. Redis is looked at before the store: whoever pauses writes there first, so a word that is on its way is
 * not taken back.
 */
export async function restoreHalts({ store, queues }: Pick<WorkerDeps, "store" | "queues">): Promise<void> {
  const looked = await Promise.all(QUEUE_NAMES.map(async (name) => ({ name, paused: await queues.isPaused(name) })));
  const halted = await store.halted("queue");
  for (const { name, paused } of looked)
    if (paused !== halted.includes(name)) await (paused ? queues.resume(name) : queues.pause(name));
}

/** Whether an operator paused this queue, also while Redis has forgotten it, which is told again then. */
export async function isHalted(
  { store, queues }: Pick<WorkerDeps, "store" | "queues">,
  queue: QueueName,
): Promise<boolean> {
  if (!(await store.halted("queue")).includes(queue)) return false;
  await queues.pause(queue);
  return true;
}

/** What an operator last said to this worker. */
export const toldState = async ({
  store,
  workerId,
}: Pick<WorkerDeps, "store" | "workerId">): Promise<Presence["state"]> =>
  (await store.halted("worker")).includes(workerId) ? "draining" : "running";

/** A worker's id is never used again. */
export async function forgetDeadWorkers({ store }: Pick<WorkerDeps, "store">, redis: Redis): Promise<void> {
  for (const id of await knownDead(redis, await store.halted("worker"))) await store.letGoOn("worker", id);
}
