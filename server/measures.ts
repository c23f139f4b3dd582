import { REPLAY_MISMATCH } from "../core/episode.ts";
import { QUEUE_NAMES } from "../core/jobs.ts";
import type { Verdict } from "../core/verifier.ts";
import type { Notice } from "./hub.ts";
import type { Parts } from "./parts.ts";

/** Sets the gauges that are asked for, not counted. */
export async function refreshGauges(parts: Parts): Promise<void> {
  const { metrics } = parts;
  const [counts, workers] = await Promise.all([parts.queues.counts(), parts.occupancy.workers()]);
  for (const queue of QUEUE_NAMES) {
    for (const [state, jobs] of Object.entries(counts[queue])) metrics.queueJobs.set({ queue, state }, jobs);
    const oldest = await parts.queues.oldestWaiting(queue);
    metrics.queueOldestSeconds.set({ queue }, oldest === null ? 0 : Math.max(0, Date.now() - oldest) / 1_000);
  }
  metrics.workers.reset();
  metrics.sandboxes.reset();
  metrics.snapshotBytes.reset();
  metrics.loopLagSeconds.reset();
  for (const worker of workers) {
    metrics.workers.inc({ state: worker.state });
    metrics.sandboxes.inc({ tier: worker.tier ?? "none", host: worker.host }, worker.sandboxes);
    metrics.snapshotBytes.inc({ tier: worker.tier ?? "none", host: worker.host }, worker.snapshot_bytes);
    metrics.loopLagSeconds.set({ process: worker.id }, worker.loop_p99_ms / 1_000);
  }
  await measureImages(parts);
  metrics.loopLagSeconds.set({ process: parts.serverId }, parts.loopP99() / 1_000);
}

async function measureImages({ metrics, images }: Parts): Promise<void> {
  for (const gauge of [metrics.images, metrics.imageBytes, metrics.imageBuilds]) gauge.reset();
  for (const { host, bytes } of await images.images()) {
    metrics.images.inc({ host });
    metrics.imageBytes.inc({ host }, bytes);
  }
  for (const { build } of await images.builds()) metrics.imageBuilds.inc({ host: build.host, state: build.state });
}

/** Counts an episode when its end is said. */
export function countEpisode(parts: Parts, notice: Notice): void {
  if (notice.event !== "done") return;
  count(parts, notice).catch((error: unknown) => parts.log.warn({ err: error }, "episode not counted"));
}

async function count({ metrics, store }: Parts, notice: Notice): Promise<void> {
  const record = await store.episode(notice.episode_id);
  if (record === null || record.outcome === null) return;
  const { framework } = record.environment;
  metrics.episodes.inc({ framework, outcome: record.outcome });
  const { queued_ms, boot_ms } = record.timing;
  if (queued_ms !== null) metrics.episodeSeconds.observe({ phase: "queue" }, queued_ms / 1_000);
  if (boot_ms !== null) {
    metrics.episodeSeconds.observe({ phase: "boot" }, boot_ms / 1_000);
    metrics.sandboxBootSeconds.observe(boot_ms / 1_000);
  }
  metrics.episodeSeconds.observe({ phase: "rollout" }, record.wall_used_ms / 1_000);
  for (const signal of record.flags) if (signal !== REPLAY_MISMATCH) metrics.hackFlags.inc({ signal });
  if (record.reward === null) {
    metrics.masked.inc({ cause: record.stop_reason ?? "unknown" });
    return;
  }
  metrics.rewardSum.inc({ framework }, record.reward);
  metrics.rewardCount.inc({ framework });
  for (const pair of disagreements(await store.verdicts(record.episode_id))) metrics.disagreements.inc(pair);
}

/** Pairs of verifiers whose last scores differ, in the order of their ids. Sealed ones are nobody's to see here. */
export function disagreements(verdicts: readonly Verdict[]): { a: string; b: string }[] {
  const scores = new Map<string, number>();
  for (const { verifier, role, status, score } of verdicts)
    if (status === "scored" && score !== null && role !== "sealed") scores.set(verifier, score);
  const judged = [...scores].sort(([a], [b]) => (a < b ? -1 : 1));
  return judged.flatMap(([a, scoreA], i) =>
    judged.slice(i + 1).flatMap(([b, scoreB]) => (scoreA === scoreB ? [] : [{ a, b }])),
  );
}
