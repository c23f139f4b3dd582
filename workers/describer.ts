import { hostname } from "node:os";
import type { Presence } from "../core/mail.ts";
import type { SandboxCounts } from "../core/sandbox.ts";
import { EGRESS } from "../core/task.ts";
import type { Config } from "../platform/config.ts";
import { watchLoop } from "../platform/shutdown.ts";
import type { WorkerDeps } from "./deps.ts";
import type { LiveEpisodes } from "./episode/live.ts";
import type { Intake } from "./intake.ts";

/** How old the images in the presence may be. */
const IMAGES_FRESH_MS = 5_000;

/** What a worker says of itself, with counts that are looked up now and then. */
export interface Describer extends Disposable {
  describe(): Presence;
  refresh(): Promise<void>;
}

export async function describer(
  deps: WorkerDeps,
  { live, intake }: { readonly live: LiveEpisodes; readonly intake: Intake },
  config: Config,
): Promise<Describer> {
  const { runtimes } = await deps.provider.image("host");
  const loop = watchLoop();
  const startedAt = Date.now();
  let counts = await countsOf(deps);
  let images = await deps.images.store.presence();
  let lookedAt = Date.now();
  const describe = (): Presence => ({
    id: deps.workerId,
    kind: "worker",
    pid: process.pid,
    host: hostname(),
    version: config.version,
    started_at: startedAt,
    seen_at: Date.now(),
    state: intake.state,
    live: live.size,
    capacity: config.episodesPerWorker,
    jobs: intake.jobs,
    sandboxes: counts.sandboxes,
    snapshots: counts.snapshots,
    snapshot_bytes: counts.snapshotBytes,
    tier: deps.provider.tier,
    runtimes: [...Object.keys(runtimes), ...(deps.egress ? [EGRESS] : [])],
    images,
    rss_bytes: process.memoryUsage.rss(),
    loop_p99_ms: loop.p99(),
  });
  const refresh = async () => {
    counts = await countsOf(deps);
    if (Date.now() - lookedAt < IMAGES_FRESH_MS) return;
    lookedAt = Date.now();
    images = await deps.images.store.presence();
  };
  return { describe, refresh, [Symbol.dispose]: () => loop[Symbol.dispose]() };
}

/** A trusted server that waits for its next room is nobody's, like a sandbox that waits ready. */
async function countsOf({ provider, servers }: WorkerDeps): Promise<SandboxCounts> {
  const counts = await provider.counts();
  return { ...counts, sandboxes: counts.sandboxes - servers.idle };
}
