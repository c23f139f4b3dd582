import type { EpisodeRecord } from "../../core/episode.ts";
import { GymError } from "../../core/errors.ts";
import type { Sandbox, Snapshot } from "../../core/sandbox.ts";
import type { Task } from "../../core/task.ts";
import { allowListOf } from "../../docker/egress/allow-list.ts";
import { EGRESS_ENV, type EgressAttempt, openEgress } from "../../docker/egress/proxy.ts";
import type { WorkerDeps } from "../deps.ts";
import type { Journal } from "./journal.ts";

/** Attempts to reach the outside that one owner's log names; a loop of them must not fill the store. */
const MOST_ATTEMPTS = 1_000;

export interface OpeningSandbox {
  readonly deps: WorkerDeps;
  readonly record: EpisodeRecord;
  readonly journal: Journal;
  readonly task: Task;
}

/** A sandbox of the episode over `from`: with the way out that its task declares, else with none. The caller closes it. */
export async function openEpisodeSandbox(opening: OpeningSandbox, from: Snapshot): Promise<Sandbox> {
  const { deps, record, task } = opening;
  const owner = `${record.episode_id}-t${record.term}`;
  const request = { image: task.image, from, limits: task.limits, owner };
  if (task.allowedHosts.length === 0) return await deps.provider.open(request);
  if (!deps.egress)
    throw new GymError(
      "sandbox_unavailable",
      `${task.id} reaches ${task.allowedHosts.join(", ")}, and egress is off here`,
    );
  const sandbox = await deps.provider.open({ ...request, env: EGRESS_ENV });
  try {
    await openEgress(sandbox, { allow: allowListOf(task.allowedHosts), onAttempt: attemptLog(opening) });
    return sandbox;
  } catch (error) {
    await sandbox.close();
    throw error;
  }
}

function attemptLog({ deps, record, journal }: OpeningSandbox): (attempt: EgressAttempt) => void {
  let told = 0;
  return (attempt) => {
    if (told++ >= MOST_ATTEMPTS) return;
    journal
      .append({ type: "network.tried", ...attempt })
      .catch((error: unknown) => deps.log.warn({ err: error, episodeId: record.episode_id }, "attempt not logged"));
  };
}
