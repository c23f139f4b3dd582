import { GymError } from "../../core/errors.ts";
import type { Snapshot } from "../../core/sandbox.ts";

/** A frozen layer beyond this number of others is merged with them: each costs a create 0.05 ms. */
export const DEEP = 32;

/** Bytes of layers that a merge may save: what was written over in a large workspace would fill the sandbox's quota. */
const HEAVY = 64 * 1024 * 1024;

export interface LayerSize {
  readonly bytes: number;
  readonly inodes: number;
}

/** A sandbox's hold on the layers below it. */
export interface Standing {
  readonly layers: readonly number[];
}

/** A run of layers of one chain, topmost first, that one layer is to replace. */
export interface Run {
  readonly layers: readonly number[];
  /** What is below the run, and stays. */
  readonly below: readonly number[];
}

/**
 * Which frozen layers each snapshot and each open sandbox stands on. A layer is shared by all that were frozen above it; it
 * is freed when the last of them is gone. Where a run of layers was merged, whoever stood on its top stands on the merged one.
 */
export class SnapshotTable {
  readonly #chains = new Map<string, readonly number[]>();
  readonly #standing = new Set<Standing>();
  readonly #users = new Map<number, number>();
  readonly #sizes = new Map<number, LayerSize>();
  /** By the top of a merged run: what standing on it is the same as. */
  readonly #merged = new Map<number, readonly number[]>();

  get size(): number {
    return this.#chains.size;
  }

  has(snapshot: Snapshot): boolean {
    return this.#chains.has(snapshot.id);
  }

  /** Of all layers that are held. */
  get bytes(): number {
    return [...this.#sizes.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** A new layer on top of those that its sandbox stood on. */
  add(snapshot: Snapshot, { layer, size, below }: { layer: number; size: LayerSize; below: readonly number[] }): void {
    this.#sizes.set(layer, size);
    const chain = this.#shortest([layer, ...below]);
    this.#hold(chain);
    this.#chains.set(snapshot.id, chain);
  }

  /** Topmost first. */
  layersOf(snapshot: Snapshot): readonly number[] {
    const layers = this.#chains.get(snapshot.id);
    if (!layers) throw new GymError("sandbox_lost", `snapshot ${snapshot.id} is not held by this process (any more)`);
    return layers;
  }

  /** What the layers of a chain hold together. */
  sizeOf(layers: readonly number[]): LayerSize {
    const sizes = layers.map((layer) => this.#sizes.get(layer) ?? { bytes: 0, inodes: 0 });
    return {
      bytes: sizes.reduce((sum, { bytes }) => sum + bytes, 0),
      inodes: sizes.reduce((sum, { inodes }) => sum + inodes, 0),
    };
  }

  /** A sandbox keeps what it stands on until it leaves, also when the snapshot that it was opened from is released. */
  stand(layers: readonly number[]): Standing {
    const standing = { layers };
    this.#hold(layers);
    this.#standing.add(standing);
    return standing;
  }

  /** Answers the layers that nobody needs now. Idempotent. */
  leave(standing: Standing): number[] {
    return this.#standing.delete(standing) ? this.#drop(standing.layers) : [];
  }

  /** Answers the layers that nobody needs now. Idempotent. */
  remove(snapshot: Snapshot): number[] {
    const layers = this.#chains.get(snapshot.id) ?? [];
    this.#chains.delete(snapshot.id);
    return this.#drop(layers);
  }

  /** What should become one layer; null when the chain is short. The bottom, a task's base as a rule, stays shared. */
  runOf(snapshot: Snapshot): Run | null {
    const chain = this.#chains.get(snapshot.id) ?? [];
    const layers = chain.slice(0, -1);
    const sizes = layers.map((layer) => this.sizeOf([layer]).bytes);
    const isHeavy = sizes.length > 1 && this.sizeOf(layers).bytes - Math.max(...sizes) > HEAVY;
    return chain.length > DEEP || isHeavy ? { layers, below: chain.slice(-1) } : null;
  }

  /** `layer` holds what `run` held: every chain over it becomes short. Answers the layers that nobody needs now. */
  replace(run: Run, layer: number, size: LayerSize): number[] {
    const [top] = run.layers;
    if (top === undefined || !this.#users.has(top)) return [layer];
    this.#sizes.set(layer, size);
    const chain = [layer, ...run.below];
    this.#hold(chain);
    this.#merged.set(top, chain);
    return [...this.#chains].flatMap(([id, old]) => {
      const short = this.#shortest(old);
      if (short === old) return [];
      this.#hold(short);
      this.#chains.set(id, short);
      return this.#drop(old);
    });
  }

  clear(): void {
    for (const map of [this.#chains, this.#standing, this.#users, this.#sizes, this.#merged]) map.clear();
  }

  #shortest(chain: readonly number[]): readonly number[] {
    const at = chain.findIndex((layer) => this.#merged.has(layer));
    const below = at < 0 ? undefined : this.#merged.get(chain[at] ?? 0);
    return below === undefined ? chain : [...chain.slice(0, at), ...this.#shortest(below)];
  }

  #hold(layers: readonly number[]): void {
    for (const layer of layers) this.#users.set(layer, (this.#users.get(layer) ?? 0) + 1);
  }

  #drop(layers: readonly number[]): number[] {
    return layers.flatMap((layer) => {
      const users = (this.#users.get(layer) ?? 0) - 1;
      if (users > 0) {
        this.#users.set(layer, users);
        return [];
      }
      const instead = this.#merged.get(layer) ?? [];
      this.#users.delete(layer);
      this.#sizes.delete(layer);
      this.#merged.delete(layer);
      return [layer, ...this.#drop(instead)];
    });
  }
}
