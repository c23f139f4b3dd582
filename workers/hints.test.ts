import { pino } from "pino";
import { expect, test } from "vitest";
import { GymError } from "../core/errors.ts";
import { newEpisodeId } from "../core/ids.ts";
import { enqueueOrSweep, hinting } from "./hints.ts";

const log = pino({ level: "silent" });
const full = async (): Promise<never> => {
  throw new Error("OOM command not allowed when used memory > 'maxmemory'");
};
const mailbox = { toWorker: full, toServer: full, broadcast: full, close: async () => undefined };

test("a letter to a server that Redis does not take ends nothing", async () => {
  const letter = { type: "job", job_id: "job_1" } as const;
  await hinting(mailbox, log).toServer("server_a", letter);
  await hinting(mailbox, log).broadcast(letter);
});

test("a letter to a worker is not a hint: who sends it learns that it was not taken", async () => {
  const letter = { type: "park", episode_id: newEpisodeId(), term: 1, server: "s", correlation: "c" } as const;
  await expect(hinting(mailbox, log).toWorker("worker_a", letter)).rejects.toThrow(/OOM/);
});

test("a job that the queue does not take is left to the sweeper, another failure is not", async () => {
  await enqueueOrSweep(log, Promise.reject(new GymError("queue_failed", "full")));
  await expect(enqueueOrSweep(log, Promise.reject(new GymError("store_failed", "full")))).rejects.toThrow("full");
});
