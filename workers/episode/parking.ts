import { GymError } from "../../core/errors.ts";
import type { FrameworkSession } from "../../core/framework.ts";
import type { Digest } from "../../core/ids.ts";
import type { Json } from "../../core/json.ts";
import type { ObservationInfo } from "../../core/messages.ts";
import type { Sandbox, Snapshot } from "../../core/sandbox.ts";

import { notifyState } from "./ending.ts";
import { meteredSandbox } from "./meter.ts";
import { type ActorParts, openFramework } from "./session.ts";
import { lostInfo } from "./step-events.ts";
import { saveWorkspace } from "./workspace.ts";

export type Parked =
  | { readonly status: "parked" }
  /** Too large to be kept in the store: it lives on in a fresh sandbox over its frozen files. */
  | {
      readonly status: "kept";
      readonly sandbox: Sandbox;
      readonly session: FrameworkSession;
      readonly info: ObservationInfo | null;
    };

/** ready → parked: the workspace and the framework's state go into the store, sandbox and slot are given up. */
export async function parkWorkspace(parts: ActorParts, used: { steps: number; wall_used_ms: number }): Promise<Parked> {
  const { deps, lease, sandbox, session } = parts;
  const state = await session.state();
  // The session closes after the freeze: with its shell it would end the programs that the freeze is to name.
  const frozen = await sandbox.freeze();
  try {
    await session[Symbol.asyncDispose]();
    const snapshot = await savedOrNull(parts, frozen, lease.snapshot);
    if (snapshot === null) return await reopen(parts, frozen, state);
    await commitParked(parts, {
      snapshot,
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

async function savedOrNull({ deps, record }: ActorParts, frozen: Snapshot, base: Snapshot): Promise<Digest | null> {
  try {
    return await saveWorkspace(deps, base, frozen);
  } catch (error) {
    deps.log.warn({ err: error, episodeId: record.episode_id }, "workspace not saved: the episode keeps its sandbox");
    return null;
  }
}

async function reopen(parts: ActorParts, frozen: Snapshot, state: Json): Promise<Parked> {
  const { deps, record, task, framework, meter } = parts;
  const owner = `${record.episode_id}-t${record.term}`;
  const sandbox = await deps.provider.open({ image: task.image, from: frozen, limits: task.limits, owner });
  try {
    const session = await openFramework(framework, record, task, meteredSandbox(sandbox, meter), state);
    const info = lostInfo(frozen.lost?.count ?? null, frozen.lost?.commands ?? []);
    return { status: "kept", sandbox, session, info };
  } catch (error) {
    await sandbox.close();
    throw error;
  }
}

interface ParkedState {
  readonly snapshot: Digest;
  readonly framework_state: Json;
  readonly steps: number;
  readonly wall_used_ms: number;
  readonly processes_lost: number | null;
  readonly commands_lost: string[];
}

async function commitParked({ deps, record, journal }: ActorParts, parked: ParkedState): Promise<void> {
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
  await notifyState(deps, updated, journal.last, "state");
}
