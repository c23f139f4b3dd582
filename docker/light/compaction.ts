import { setImmediate } from "node:timers/promises";
import { GymError } from "../../core/errors.ts";
import type { Snapshot } from "../../core/sandbox.ts";
import type { ProviderLog } from "../log.ts";
import type { LayerSize, SnapshotTable } from "./snapshots.ts";

/** Frozen layers below one sandbox (MAX_DEPTH of light.h). */
const MOST_LAYERS = 128;

export interface CompactionOptions {
  readonly table: SnapshotTable;
  readonly log: ProviderLog;
  /** Has `layers` (topmost first) copied into one new layer. */
  readonly merge: (layers: readonly number[]) => Promise<{ readonly layer: number; readonly size: LayerSize }>;
  readonly release: (layers: readonly number[]) => Promise<void>;
}

/**
 * Keeps chains of frozen layers short, one merge at a time and in a process of its own: an episode that is saved a thousand
 * times opens as fast as a fresh one. A chain that cannot be merged stays as it is.
 */
export class Compaction {
  readonly #options: CompactionOptions;
  #running: Promise<void> = Promise.resolve();

  constructor(options: CompactionOptions) {
    this.#options = options;
  }

  /** Merges in the background when the chain of `snapshot` is long. */
  consider(snapshot: Snapshot): void {
    if (this.#options.table.runOf(snapshot) === null) return;
    this.#running = this.#running.then(() => this.#compact(snapshot));
  }

  /** Topmost first. Waits for the merge of a chain that grew faster than it was merged. */
  async layersOf(snapshot: Snapshot): Promise<readonly number[]> {
    const { table } = this.#options;
    if (table.layersOf(snapshot).length > MOST_LAYERS) {
      this.consider(snapshot);
      await this.#running;
    }
    const layers = table.layersOf(snapshot);
    if (layers.length <= MOST_LAYERS) return layers;
    throw new GymError("sandbox_unavailable", `snapshot ${snapshot.id} stands on more than ${MOST_LAYERS} others`);
  }

  async #compact(snapshot: Snapshot): Promise<void> {
    await setImmediate(); // whoever froze goes on first
    const { table, log, merge, release } = this.#options;
    const run = table.runOf(snapshot);
    if (run === null) return;
    try {
      const started = performance.now();
      const { layer, size } = await merge(run.layers);
      await release(table.replace(run, layer, size));
      const ms = Math.round(performance.now() - started);
      log.debug({ layers: run.layers.length, bytes: size.bytes, ms }, "frozen layers were merged");
    } catch (error) {
      log.warn({ err: error, layers: run.layers.length }, "frozen layers could not be merged");
    }
  }
}
