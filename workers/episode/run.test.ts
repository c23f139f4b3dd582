import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { frameworkProfile } from "../../core/catalog.ts";
import type { EpisodeId } from "../../core/ids.ts";
import type { ServerMail } from "../../core/mail.ts";
import { findFramework } from "../../environments/catalog.ts";
import { SAMPLE_BODY, sampleRecord } from "../../test/contract/store-samples.ts";
import { taskOf } from "../../test/judging.ts";
import { openWorkerParts } from "../../test/worker-parts.ts";
import type { WorkerDeps } from "../deps.ts";
import { LiveEpisodes } from "./live.ts";
import { runEpisode } from "./run.ts";

const TASK = taskOf({ kind: "function", language: "python", files: {}, gold: {}, verifiers: {} });

interface Owned extends AsyncDisposable {
  readonly deps: WorkerDeps;
  readonly live: LiveEpisodes;
  readonly id: EpisodeId;
  /** Aborted: the job is lost. */
  readonly lost: AbortController;
  /** Settles when the owner is done with the episode. */
  readonly done: Promise<void>;
}

/** An episode on its way to its first wait, in its owner; `told` hears the states. */
async function owned(told: (state: string, lost: AbortController) => void): Promise<Owned> {
  const parts = await openWorkerParts();
  const framework = findFramework("mini-swe.toolcall");
  if (framework === undefined) throw new Error("the framework is gone");
  const config = framework.config.parse({});
  const lost = new AbortController();
  const mailbox = {
    ...parts.deps.mailbox,
    broadcast: async (mail: ServerMail) => {
      if (mail.type === "notice" && mail.event === "state") told(mail.state, lost);
    },
  };
  const tasks = { ...parts.deps.tasks, loadVersion: async () => TASK };
  const deps = { ...parts.deps, mailbox, tasks, frameworks: [framework] };
  const record = sampleRecord({
    environment: {
      ...sampleRecord().environment,
      ...{ task_id: TASK.id, task_version: TASK.version, framework: framework.id, framework_config: config },
      ...{ framework_version: framework.version, framework_profile: frameworkProfile(framework, config) },
    },
  });
  await deps.store.createEpisode(record, SAMPLE_BODY);
  const live = new LiveEpisodes(mailbox);
  const id = record.episode_id;
  const done = runEpisode(deps, live, { episode_id: id, term: 1 }, lost.signal);
  return { deps, live, id, lost, done, [Symbol.asyncDispose]: () => parts[Symbol.asyncDispose]() };
}

const expectGone = async ({ deps, live }: Owned): Promise<void> => {
  expect(live.size).toBe(0);
  expect((await deps.provider.counts()).sandboxes).toBe(0);
};

test("an owner that lost its job between the boot and the first wait lets the episode go at once", async () => {
  await using episode = await owned((state, lost) => {
    if (state === "ready") lost.abort();
  });
  await episode.done;
  expect(episode.lost.signal.aborted).toBe(true);
  await expectGone(episode);
  // The next owner goes on here.
  expect(await episode.deps.store.episode(episode.id)).toMatchObject({ state: "ready", term: 1 });
});

/** From the word that an episode is ready until it is among those that live. */
const SETTLED_MS = 100;

async function readyEpisode(): Promise<Owned> {
  const ready = Promise.withResolvers<void>();
  const episode = await owned((state) => {
    if (state === "ready") ready.resolve();
  });
  await ready.promise;
  await delay(SETTLED_MS);
  return episode;
}

test("an owner that missed the word of its loss lets go of what has a newer owner", async () => {
  await using episode = await readyEpisode();
  await episode.deps.store.grantTerm(episode.id, "worker_b", 1);
  await episode.live.leaveStale(episode.deps.store);
  await episode.done;
  await expectGone(episode);
});

test("an owner that looks for newer ones keeps what is its own", async () => {
  await using episode = await readyEpisode();
  await episode.live.leaveStale(episode.deps.store);
  // It lives still: only such a one can be parked.
  expect(await episode.live.parkIdle(0, 1)).toBe(1);
  await episode.done;
});
