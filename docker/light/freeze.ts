import { setTimeout } from "node:timers/promises";
import { GymError } from "../../core/errors.ts";
import type { LayerSize } from "./snapshots.ts";
import type { StartedSandbox } from "./start.ts";

/** How long a freeze waits for others to be released when frozen states have used up their memory. */
const ROOM_WAIT_MS = 10_000;
const ROOM_LOOK_MS = 50;
/** Of that memory, for freezes that are only a convenience: an end must find room to be judged. */
const OPTIONAL_SHARE = 0.75;

export interface FreezeRoom {
  /** Memory that all frozen states may take. */
  readonly budget: number;
  /** What others hold that share it with this provider. */
  readonly heldElsewhere: () => number;
  readonly optional: boolean;
}

/** Turns what a sandbox wrote into frozen layer `layer` when there is room for it. One that is refused stays open. */
export async function freezeWithin(started: StartedSandbox, layer: number, room: FreezeRoom): Promise<LayerSize> {
  const { budget, heldElsewhere, optional } = room;
  const share = Math.floor(budget * (optional ? OPTIONAL_SHARE : 1));
  const deadline = performance.now() + (optional ? 0 : ROOM_WAIT_MS);
  for (;;) {
    const size = await started.freeze(layer, Math.max(0, share - heldElsewhere()));
    if (size !== null) return size;
    if (performance.now() >= deadline) break;
    await setTimeout(ROOM_LOOK_MS);
  }
  const advice = "release some, or raise snapshot_bytes";
  throw new GymError("sandbox_unavailable", `frozen states have used up their ${share} bytes: ${advice}`, {
    retryable: true,
  });
}
