import { GymError } from "../../core/errors.ts";
import type { Snapshot } from "../../core/sandbox.ts";

/**
 * Which frozen layers a snapshot stands on, and who still needs a layer. A layer is shared by every snapshot frozen
 * above it; it is freed when the last of them is released.
 */
export class SnapshotTable {
  readonly #layers = new Map<string, readonly number[]>();
  readonly #users = new Map<number, number>();

  get size(): number {
    return this.#layers.size;
  }

  has(snapshot: Snapshot): boolean {
    return this.#layers.has(snapshot.id);
  }

  add(snapshot: Snapshot, layers: readonly number[]): void {
    this.#layers.set(snapshot.id, layers);
    for (const layer of layers) this.#users.set(layer, (this.#users.get(layer) ?? 0) + 1);
  }

  /** Topmost first. */
  layersOf(snapshot: Snapshot): readonly number[] {
    const layers = this.#layers.get(snapshot.id);
    if (!layers) throw new GymError("sandbox_lost", `snapshot ${snapshot.id} is not held by this process (any more)`);
    return layers;
  }

  /** Answers the layers that nobody needs now. */
  remove(snapshot: Snapshot): number[] {
    const layers = this.#layers.get(snapshot.id) ?? [];
    this.#layers.delete(snapshot.id);
    return layers.filter((layer) => {
      const users = (this.#users.get(layer) ?? 1) - 1;
      if (users > 0) this.#users.set(layer, users);
      else this.#users.delete(layer);
      return users <= 0;
    });
  }

  clear(): void {
    this.#layers.clear();
    this.#users.clear();
  }
}
