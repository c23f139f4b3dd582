import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

/** Seconds: from a step's own time to a whole episode. */
const EPISODE_SECONDS = [0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 1_800, 3_600, 86_400];
const HTTP_SECONDS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 60, 300];
const BOOT_SECONDS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30];

/** The metrics of one process, in a registry of its own. Ids of tasks and episodes are never labels. */
export interface Metrics {
  readonly registry: Registry;
  /** Episodes that ended. */
  readonly episodes: Counter<"framework" | "outcome">;
  /** How long a phase took: queue, boot, rollout, verify. */
  readonly episodeSeconds: Histogram<"phase">;
  /** Episodes that ended without a reward, by stop reason. */
  readonly masked: Counter<"cause">;
  readonly rewardSum: Counter<"framework">;
  readonly rewardCount: Counter<"framework">;
  readonly hackFlags: Counter<"signal">;
  /** Episodes on which two verifiers gave different scores. */
  readonly disagreements: Counter<"a" | "b">;
  readonly httpSeconds: Histogram<"route" | "code">;
  readonly queueJobs: Gauge<"queue" | "state">;
  readonly queueOldestSeconds: Gauge<"queue">;
  readonly workers: Gauge<"state">;
  readonly sandboxes: Gauge<"tier" | "host">;
  readonly snapshotBytes: Gauge<"tier" | "host">;
  readonly images: Gauge<"host">;
  readonly imageBytes: Gauge<"host">;
  readonly imageBuilds: Gauge<"host" | "state">;
  readonly sandboxBootSeconds: Histogram;
  /** 99th percentile of the last seconds. */
  readonly loopLagSeconds: Gauge<"process">;
}

export function openMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: "polygym_process_" });
  const registers = [registry];
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Counter<L>({ name: `polygym_${name}`, help, labelNames, registers });
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Gauge<L>({ name: `polygym_${name}`, help, labelNames, registers });
  const histogram = <L extends string>(
    name: string,
    help: string,
    options: { labelNames: readonly L[]; buckets: number[] },
  ) => new Histogram<L>({ name: `polygym_${name}`, help, registers, ...options });
  return {
    registry,
    episodes: counter("episodes_total", "Episodes that ended", ["framework", "outcome"]),
    episodeSeconds: histogram("episode_duration_seconds", "Time of an episode by phase", {
      labelNames: ["phase"],
      buckets: EPISODE_SECONDS,
    }),
    masked: counter("masked_total", "Episodes that ended without a reward", ["cause"]),
    rewardSum: counter("reward_sum", "Sum of the rewards", ["framework"]),
    rewardCount: counter("reward_count", "Number of rewards", ["framework"]),
    hackFlags: counter("hack_flags_total", "Flags raised on submissions", ["signal"]),
    disagreements: counter("verifier_disagreement_total", "Episodes on which two verifiers disagree", ["a", "b"]),
    httpSeconds: histogram("http_requests_seconds", "Time of a request", {
      labelNames: ["route", "code"],
      buckets: HTTP_SECONDS,
    }),
    queueJobs: gauge("queue_jobs", "Jobs in a queue by state", ["queue", "state"]),
    queueOldestSeconds: gauge("queue_oldest_waiting_seconds", "Age of the job that waits longest", ["queue"]),
    workers: gauge("workers", "Live workers", ["state"]),
    sandboxes: gauge("sandboxes", "Open sandboxes", ["tier", "host"]),
    snapshotBytes: gauge("snapshot_bytes", "Held by frozen states of sandboxes", ["tier", "host"]),
    images: gauge("images", "Images that lie on a machine", ["host"]),
    imageBytes: gauge("image_bytes", "Bytes of the images on a machine, shared layers counted once per image", [
      "host",
    ]),
    imageBuilds: gauge("image_builds", "Latest builds of images by state", ["host", "state"]),
    sandboxBootSeconds: histogram("sandbox_boot_seconds", "Time from a granted term to an opened sandbox", {
      labelNames: [],
      buckets: BOOT_SECONDS,
    }),
    loopLagSeconds: gauge("event_loop_lag_seconds", "99th percentile of the event loop's delay", ["process"]),
  };
}
