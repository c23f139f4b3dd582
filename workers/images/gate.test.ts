import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { GymError } from "../../core/errors.ts";
import { newJobId } from "../../core/ids.ts";
import { readTaskFolder } from "../../environments/tasks/folder.ts";
import { PostponeError } from "../../platform/queues.ts";
import { openWorkerParts, type WorkerParts } from "../../test/worker-parts.ts";

const onHost = await readTaskFolder(join(import.meta.dirname, "../../environments/tasks/demo/leap-year"));
const onPython = { ...onHost, image: "python" };

let parts: WorkerParts;
beforeEach(async () => {
  parts = await openWorkerParts();
});
afterEach(() => parts[Symbol.asyncDispose]());

const builds = async (): Promise<number> => (await parts.deps.queues.counts()).build.waiting;

test("the machine's own image is never built", async () => {
  const { images } = parts.deps;
  expect(await images.standing(onHost)).toEqual({ status: "ready" });
  await images.require(onHost);
  await (await images.lease(onHost))[Symbol.asyncDispose]();
  expect(await builds()).toBe(0);
});

test("a job whose image is not there is postponed, and one build is begun for all of them", async () => {
  const { images } = parts.deps;
  for (let i = 0; i < 3; i++) await expect(images.require(onPython)).rejects.toBeInstanceOf(PostponeError);
  expect(await builds()).toBe(1);
});

test("a failed build fails those who wait for that definition, and is tried again later", async () => {
  const { images } = parts.deps;
  const { definition } = images.store.wanted(onPython);
  const failed = { name: "python", host: "here", job_id: newJobId(), state: "failed", error: "no mirror" } as const;
  await images.board.setBuild(images.store.id, { ...failed, definition, at: Date.now() });
  expect(await images.standing(onPython)).toEqual({ status: "failed", reason: "no mirror" });
  await images.require(onPython);
  const failure = await images.lease(onPython).catch((error: unknown) => error);
  expect(failure instanceof GymError ? [failure.code, failure.message] : failure).toEqual([
    "image_failed",
    "no mirror",
  ]);
  await images.board.setBuild(images.store.id, { ...failed, definition, at: Date.now() - 3_600_000 });
  expect(await images.standing(onPython)).toEqual({ status: "building" });
  const other = `sha256:${"0".repeat(64)}`;
  await images.board.setBuild(images.store.id, { ...failed, definition: other, at: Date.now() });
  expect(await images.standing(onPython)).toEqual({ status: "building" });
});
