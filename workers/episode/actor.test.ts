import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import type { ServerMail, StepObserved, StepRefusal } from "../../core/mail.ts";
import { findFramework, taskView } from "../../environments/catalog.ts";
import { SAMPLE_BODY, sampleRecord } from "../../test/contract/store-samples.ts";
import { taskOf } from "../../test/judging.ts";
import { openWorkerParts } from "../../test/worker-parts.ts";
import { EpisodeActor } from "./actor.ts";
import { resumeFromBirth } from "./journal.ts";
import { meteredSandbox, newMeter } from "./meter.ts";
import { openFramework } from "./session.ts";
import { LastSaved } from "./workspace.ts";
import { WorkspaceView } from "./workspace-view.ts";

const TASK = taskOf({ kind: "function", language: "python", files: {}, gold: {}, verifiers: {} });
/** Long enough to show as running in the record. */
const SLOW = "sleep 0.3";

type Result = { observed: StepObserved } | { refused: StepRefusal };

test("an answer that its log has is the last word on its number: the next step is taken though servers are not told yet", async () => {
  await using parts = await openWorkerParts();
  const told = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  const results = new Map<string, Result>();
  const mailbox = {
    ...parts.deps.mailbox,
    // A slow way to Redis: that the episode is ready again is told late.
    broadcast: async (mail: ServerMail) => {
      if (mail.type !== "notice" || mail.event !== "state" || mail.state !== "ready") return;
      held.resolve();
      await told.promise;
    },
    toServer: async (_server: string, mail: ServerMail) => {
      if (mail.type === "reply") results.set(mail.correlation, mail.result);
    },
  };
  const deps = { ...parts.deps, mailbox };
  const record = sampleRecord({ state: "ready", term: 1, worker: "worker_a" });
  await deps.store.createEpisode(record, SAMPLE_BODY);
  const { journal } = await resumeFromBirth(deps.store, record);
  const framework = findFramework("mini-swe.toolcall");
  if (framework === undefined) throw new Error("the framework is gone");
  const sandbox = await deps.provider.open({ image: "host", owner: "test" });
  const meter = newMeter();
  const session = await openFramework(framework, record, taskView(TASK), meteredSandbox(sandbox, meter), null);
  const lease = {
    ...{ alias: null, plain: true, toolsInside: new Set<string>() },
    snapshot: await (await deps.provider.open({ image: "host", owner: "base" })).freeze(),
  };
  const actor = new EpisodeActor({
    ...{
      deps,
      record,
      task: TASK,
      framework,
      journal,
      sandbox,
      session,
      meter,
      saved: new LastSaved(null),
      view: new WorkspaceView(),
    },
    lease: { ...lease, [Symbol.dispose]: () => undefined },
    start: { nextSeq: 1, steps: 0, wallUsedMs: 0, info: null },
  });
  const step = (seq: number, command: string) =>
    actor.deliver({
      ...{ type: "step", episode_id: record.episode_id, term: 1, server: "server_a", correlation: `step ${seq}` },
      ...{ conversation: "main", seq },
      action: {
        message: {
          role: "assistant",
          content: null,
          tool_calls: [
            { id: "c", type: "function", function: { name: "bash", arguments: JSON.stringify({ command }) } },
          ],
        },
      },
    });

  step(1, SLOW);
  await held.promise;
  expect((await deps.store.events(record.episode_id)).events.map(({ type }) => type)).toContain("step.observed");
  step(2, "pwd");
  await delay(20);
  expect(results.get("step 2")).toBeUndefined();
  expect(actor.idleSince).toBeNull();
  expect(await actor.park()).toBe(false);

  told.resolve();
  await expect
    .poll(() => [...results].map(([name, result]) => [name, "observed" in result]))
    .toEqual([
      ["step 1", true],
      ["step 2", true],
    ]);
  await actor.abandon();
});
