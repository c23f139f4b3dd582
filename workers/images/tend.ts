import { newJobId } from "../../core/ids.ts";
import type { Config } from "../../platform/config.ts";
import type { WorkerDeps } from "../deps.ts";

/** Says what images there are, and has some removed when they take more than the high watermark. */
export async function tendImages(deps: WorkerDeps, config: Pick<Config, "imagesHighBytes">): Promise<void> {
  const { store, board } = deps.images;
  await board.publish(store.id, await store.list());
  if ((await store.bytes()) <= config.imagesHighBytes) return;
  await deps.queues.addBuild({ kind: "collect", job_id: newJobId(), store: store.id, keep_bytes: null });
}
