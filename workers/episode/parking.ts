import { GymError } from "../../core/errors.ts";
import type { ActorParts } from "./actor.ts";
import { describeFailure, endUnjudged, notifyState } from "./ending.ts";
import { saveWorkspace } from "./workspace.ts";

/**
 * ready → parked: the workspace and the framework's state go into the store, sandbox and slot are given up. A workspace
 * that is too large to keep ends the episode by our own limit, typed, without a reward.
 */
export async function parkWorkspace(
  parts: ActorParts,
  used: { steps: number; wall_used_ms: number },
): Promise<boolean> {
  const { deps, record, journal, lease, sandbox, session } = parts;
  const owner = { deps, record, journal };
  try {
    const frameworkState = await session.state();
    await session[Symbol.asyncDispose]();
    const frozen = await sandbox.freeze();
    const snapshot = await saveWorkspace(deps, lease.snapshot, frozen).finally(() => deps.provider.release(frozen));
    if (snapshot === null) throw new GymError("sandbox_lost", "the workspace is too large to be parked");
    await journal.append({
      type: "episode.parked",
      snapshot,
      framework_state: frameworkState,
      ...used,
      processes_lost: 0,
    });
    const parked = await deps.store.update(
      record.episode_id,
      { term: record.term, states: ["ready"] },
      { state: "parked", pending_reason: null, worker: null, lost_terms: 0, ...used },
    );
    if (parked === null) return false;
    await notifyState(deps, parked, journal.last, "state");
    return true;
  } catch (error) {
    deps.log.warn({ err: error, episodeId: record.episode_id }, "episode could not be parked");
    await endUnjudged(owner, "sandbox_lost", describeFailure(error, "export"), used);
    return false;
  }
}
