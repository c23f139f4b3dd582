import type { Json } from "../../core/json.ts";
import type { Snapshot } from "../../core/sandbox.ts";
import { steadyNow } from "../../platform/clock.ts";
import { frozenOrNull, type Reopened, reopen } from "./parking.ts";
import { type ActorParts, closeSession } from "./session.ts";
import { saveWorkspace } from "./workspace.ts";

/** How often live episodes are saved. */
export interface SavePolicy {
  /** A recovery replays at most about so many steps. */
  readonly steps: number;
  /** One that steps slowly is saved after this time. */
  readonly ms: number;
  /** Freezing costs milliseconds ({@link SandboxProvider.freezesInPlace}). */
  readonly inPlace: boolean;
}

/** A state of up to so many bytes is saved at every turn; larger ones less often, in proportion to what is written. */
const CHEAP_BYTES = 4 * 1024 * 1024;
/** Where freezing copies the files, which takes a second, turns are so many times as long. */
const COPYING_TURNS = 10;
/** One that did not fit into the store is tried again after so many turns. */
const TOO_LARGE_TURNS = 64;

/** Where a live episode stands when it is saved. */
export interface StepBoundary {
  /** The last answered step. */
  readonly seq: number;
}

/**
 * Saves a live episode now and then, without loss: at a step boundary, when no program runs in its sandbox. The sandbox is
 * frozen and reopened over its own files; what they are goes into the store behind the back of the next steps.
 */
export class Saver {
  readonly #policy: SavePolicy;
  readonly #now: () => number;
  #steps = 0;
  #since: number;
  #weight: number;
  #keeping: Promise<void> | null = null;

  constructor(policy: SavePolicy, now: () => number = steadyNow) {
    this.#policy = policy;
    this.#now = now;
    this.#weight = this.#least;
    this.#since = now();
  }

  get #least(): number {
    return this.#policy.inPlace ? 1 : COPYING_TURNS;
  }

  /** Settles when nothing is being written any more. Never rejects. */
  get settled(): Promise<void> {
    return this.#keeping ?? Promise.resolve();
  }

  /** Counts an answered step. True when a save is due. */
  countStep(): boolean {
    this.#steps++;
    if (this.#keeping !== null) return false;
    return (
      this.#steps >= this.#policy.steps * this.#weight || this.#now() - this.#since >= this.#policy.ms * this.#weight
    );
  }

  /** The sandbox and session that the episode goes on in; null when it stays as it is. */
  async save(parts: ActorParts, at: StepBoundary): Promise<Reopened | null> {
    this.#steps = 0;
    this.#since = this.#now();
    if ((await parts.sandbox.programs())?.count !== 0) return null;
    const state = await parts.session.state();
    const frozen = await frozenOrNull(parts, { optional: true });
    if (frozen === null) return null;
    try {
      await closeSession(parts);
      return await reopen(parts, frozen, state);
    } finally {
      this.#keeping = this.#keep(parts, { frozen, state, at }).finally(() => {
        this.#keeping = null;
      });
    }
  }

  /** An episode that could not be saved goes on: a recovery then replays more steps. */
  async #keep(
    parts: ActorParts,
    { frozen, state, at }: { frozen: Snapshot; state: Json; at: StepBoundary },
  ): Promise<void> {
    const { deps, record, journal } = parts;
    try {
      const saved = await saveWorkspace(parts, frozen);
      this.#weight = saved === null ? TOO_LARGE_TURNS : Math.max(this.#least, saved.bytes / CHEAP_BYTES);
      if (saved === null) return;
      const { snapshot, workspace } = saved;
      await journal.append({ type: "episode.saved", snapshot, workspace, framework_state: state, seq: at.seq });
      // An owner that is none any more wrote what nobody reads.
      const now = await deps.store.episode(record.episode_id);
      if (now?.term === record.term) await parts.saved.replace(deps, snapshot);
    } catch (error) {
      deps.log.warn({ err: error, episodeId: record.episode_id }, "episode not saved");
    } finally {
      await deps.provider
        .release(frozen)
        .catch((error: unknown) => deps.log.warn({ err: error, episodeId: record.episode_id }, "layers not released"));
    }
  }
}
