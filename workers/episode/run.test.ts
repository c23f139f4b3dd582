import { expect, test } from "vitest";
import { frameworkProfile } from "../../core/catalog.ts";
import type { EpisodeId } from "../../core/ids.ts";
import type { ServerMail } from "../../core/mail.ts";
import { findFramework } from "../../environments/catalog.ts";
import { SAMPLE_BODY, sampleRecord } from "../../test/contract/store-samples.ts";
import { taskOf } from "../../test/judging.ts";
import { openWorkerParts } from "../../test/worker-parts.ts";
import { LiveEpisodes } from "./live.ts";
import { runEpisode } from "./run.ts";

const TASK = taskOf({ kind: "function", language: "python", files: {}, gold: {}, verifiers: {} });

test("an owner that lost its job between the boot and the first wait lets the episode go at once", async () => {
  await using parts = await openWorkerParts();
  const framework = findFramework("mini-swe.toolcall");
  if (framework === undefined) throw new Error("the framework is gone");
  const config = framework.config.parse({});
  const lost = new AbortController();
  const mailbox = {
    ...parts.deps.mailbox,
    broadcast: async (mail: ServerMail) => {
      if (mail.type === "notice" && mail.event === "state" && mail.state === "ready") lost.abort();
    },
  };
  const tasks = { ...parts.deps.tasks, loadVersion: async () => TASK };
  const deps = { ...parts.deps, mailbox, tasks, frameworks: [framework] };
  const { environment } = sampleRecord();
  const record = sampleRecord({
    environment: {
      ...environment,
      ...{ task_id: TASK.id, task_version: TASK.version },
      ...{
        framework: framework.id,
        framework_version: framework.version,
        framework_profile: frameworkProfile(framework, config),
        framework_config: config,
      },
    },
  });
  await deps.store.createEpisode(record, SAMPLE_BODY);
  const live = new LiveEpisodes(mailbox);
  const episode_id: EpisodeId = record.episode_id;

  await runEpisode(deps, live, { episode_id, term: 1 }, lost.signal);

  expect(lost.signal.aborted).toBe(true);
  expect(live.size).toBe(0);
  expect((await deps.provider.counts()).sandboxes).toBe(0);
  // The next owner goes on from here.
  expect(await deps.store.episode(episode_id)).toMatchObject({ state: "ready", term: 1 });
});
