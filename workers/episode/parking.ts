import { GymError } from "../../core/errors.ts";
import type { FrameworkSession } from "../../core/framework.ts";
import type { Digest } from "../../core/ids.ts";
import type { Json } from "../../core/json.ts";
import type { ObservationInfo } from "../../core/messages.ts";
import type { FreezeOptions, Sandbox, Snapshot } from "../../core/sandbox.ts";
import { taskView } from "../../environments/task-view.ts";

import { notifyState } from "./ending.ts";
import { meteredSandbox } from "./meter.ts";
import { openEpisodeSandbox } from "./open-sandbox.ts";
import { type ActorParts, closeSession, openFramework } from "./session.ts";
import { lostInfo } from "./step-events.ts";
import { type SavedWorkspace, saveWorkspace } from "./workspace.ts";

export type Parked =
  | { readonly status: "parked" }
  /** There was no room for its frozen files: it stays as it is. */
  | { readonly status: "refused" }
  /** Too large to be kept in the store: it lives on in a fresh sandbox over its frozen files. */
  | ({ readonly status: "kept" } & Reopened);

/** A live episode in a fresh sandbox over its own frozen files. */
export interface Reopened {
  readonly sandbox: Sandbox;
  readonly session: FrameworkSession;
  /** Programs that ended with the old one; null: none. */
  readonly info: ObservationInfo | null;
}

/** ready → parked: the workspace and the framework's state go into the store, sandbox and slot are given up. */
export async function parkWorkspace(parts: ActorParts, used: { steps: number; wall_used_ms: number }): Promise<Parked> {
  const { deps, session } = parts;
  const state = await session.state();
  // The session closes after the freeze: with its shell it would end the programs that the freeze is to name.
  const frozen = await frozenOrNull(parts);
  if (frozen === null) return { status: "refused" };
  try {
    await closeSession(parts);
    const saved = await savedOrNull(parts, frozen);
    if (saved === null) return { status: "kept", ...(await reopen(parts, frozen, state)) };
    await commitParked(parts, {
      snapshot: saved.snapshot,
      workspace: saved.workspace,
      framework_state: state,
      processes_lost: frozen.lost?.count ?? null,
      commands_lost: [...(frozen.lost?.commands ?? [])],
      ...used,
    });
    return { status: "parked" };
  } finally {
    await deps.provider.release(frozen);
  }
}

/** Null when the tier has no room for frozen files now; the sandbox is then as it was. */
export async function frozenOrNull(
  { deps, record, sandbox }: ActorParts,
  options: FreezeOptions = {},
): Promise<Snapshot | null> {
  try {
    return await sandbox.freeze(options);
  } catch (error) {
    if (!(error instanceof GymError && error.retryable)) throw error;
    deps.log.warn({ err: error, episodeId: record.episode_id }, "not frozen: the episode keeps its sandbox");
    return null;
  }
}

async function savedOrNull(parts: ActorParts, frozen: Snapshot): Promise<SavedWorkspace | null> {
  const { deps, record } = parts;
  try {
    return await saveWorkspace(parts, frozen);
  } catch (error) {
    deps.log.warn({ err: error, episodeId: record.episode_id }, "workspace not saved: the episode keeps its sandbox");
    return null;
  }
}

/** `frozen` may be released afterwards: the sandbox keeps what it stands on. */
export async function reopen(parts: ActorParts, frozen: Snapshot, state: Json): Promise<Reopened> {
  const { record, framework, meter } = parts;
  const task = taskView(parts.task, parts.lease.alias);
  const sandbox = await openEpisodeSandbox(parts, frozen);
  try {
    const session = await openFramework(framework, record, task, meteredSandbox(sandbox, meter), state);
    const info = lostInfo(frozen.lost?.count ?? null, frozen.lost?.commands ?? []);
    return { sandbox, session, info };
  } catch (error) {
    await sandbox.close();
    throw error;
  }
}

interface ParkedState {
  readonly snapshot: Digest;
  readonly workspace: Digest;
  readonly framework_state: Json;
  readonly steps: number;
  readonly wall_used_ms: number;
  readonly processes_lost: number | null;
  readonly commands_lost: string[];
}

async function commitParked({ deps, record, journal, saved }: ActorParts, parked: ParkedState): Promise<void> {
  await journal.append({ type: "episode.parked", ...parked });
  const updated = await deps.store.update(
    record.episode_id,
    { term: record.term, states: ["ready"] },
    {
      state: "parked",
      pending_reason: null,
      worker: null,
      lost_terms: 0,
      steps: parked.steps,
      wall_used_ms: parked.wall_used_ms,
    },
  );
  if (updated === null) throw new GymError("stale_term", `${record.episode_id} changed hands while it was parked`);
  await saved.replace(deps, parked.snapshot);
  await notifyState(deps, updated, journal.last, "state");
}
