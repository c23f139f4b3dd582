import { setTimeout } from "node:timers/promises";
import { ProblemError } from "../core/errors.ts";
import type { QueueName } from "../core/jobs.ts";
import type { Presence } from "../core/mail.ts";
import type { Parts } from "./parts.ts";

/** A worker says what it does at once; one that has not after this long does not read its mail. */
const PATIENCE_MS = 10_000;
/** How often it is told again: mail may be lost. */
const TELL_AGAIN_MS = 2_000;
const LOOK_EVERY_MS = 50;

/** Nothing is taken from a paused queue. The store keeps the word; workers put it back into a Redis that forgot it. */
export async function turnQueue(parts: Parts, queue: QueueName, verb: "pause" | "resume"): Promise<void> {
  // In this order whoever sees Redis changed finds the word in the store.
  await (verb === "pause" ? parts.store.halt("queue", queue) : parts.store.letGoOn("queue", queue));
  await parts.queues[verb](queue);
  parts.occupancy.lookAgain();
  parts.log.info({ queue, verb }, "queue paused or resumed");
}

/** Keeps and tells a worker what to take, and answers what it says of itself once it does so. */
export async function turnWorker(parts: Parts, id: string, state: Presence["state"]): Promise<Presence> {
  if ((await parts.workers()).some((worker) => worker.id === id))
    await (state === "draining" ? parts.store.halt("worker", id) : parts.store.letGoOn("worker", id));
  const started = Date.now();
  for (let toldAt = Number.NEGATIVE_INFINITY; ; await setTimeout(LOOK_EVERY_MS)) {
    const worker = (await parts.workers()).find((candidate) => candidate.id === id);
    if (worker === undefined)
      throw new ProblemError("not_found", `there is no worker ${id}`, "GET /v1/workers lists those that live");
    if (worker.state === state) {
      parts.occupancy.lookAgain();
      return worker;
    }
    const now = Date.now();
    if (now - started > PATIENCE_MS)
      throw new ProblemError(
        "unavailable",
        `${id} is still ${worker.state}`,
        "it may be stopping or stuck: see its log",
        {
          retryAfterS: 2,
        },
      );
    if (now - toldAt < TELL_AGAIN_MS) continue;
    toldAt = now;
    await parts.mailbox.toWorker(id, { type: "intake", state });
  }
}
