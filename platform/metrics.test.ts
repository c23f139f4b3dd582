import { expect, test } from "vitest";
import { openMetrics } from "./metrics.ts";

test("the names of the metrics are fixed", async () => {
  const metrics = openMetrics();
  const names = (await metrics.registry.getMetricsAsJSON()).map((metric) => metric.name);
  expect(names.filter((name) => !name.startsWith("polygym_process_")).sort()).toEqual([
    "polygym_episode_duration_seconds",
    "polygym_episodes_total",
    "polygym_event_loop_lag_seconds",
    "polygym_hack_flags_total",
    "polygym_http_requests_seconds",
    "polygym_image_builds",
    "polygym_image_bytes",
    "polygym_images",
    "polygym_masked_total",
    "polygym_queue_jobs",
    "polygym_queue_oldest_waiting_seconds",
    "polygym_reward_count",
    "polygym_reward_sum",
    "polygym_sandbox_boot_seconds",
    "polygym_sandboxes",
    "polygym_snapshot_bytes",
    "polygym_verifier_disagreement_total",
    "polygym_workers",
  ]);
  expect(names.length).toBeGreaterThan(14);
});

test("no metric is told apart by an episode or a task", () => {
  const labels = openMetrics()
    .registry.getMetricsAsArray()
    .flatMap((metric) =>
      "labelNames" in metric && Array.isArray(metric.labelNames) ? metric.labelNames.map(String) : [],
    );
  expect(labels).toContain("framework");
  expect(labels.filter((label) => /episode|task/.test(label))).toEqual([]);
});

test("two processes in one test have registries of their own", async () => {
  const [a, b] = [openMetrics(), openMetrics()];
  a.episodes.inc({ framework: "f", outcome: "ok" });
  expect(await a.registry.metrics()).toContain('polygym_episodes_total{framework="f",outcome="ok"} 1');
  expect(await b.registry.metrics()).not.toContain('outcome="ok"');
});
