import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { eventually, startGym } from "../../bench/gym.ts";
import { loadConfig } from "../../platform/config.ts";

const run = promisify(execFile);
/** Less than a job's lock (8 s): what comes by then was not waited for. */
const AT_ONCE_MS = 7_000;

test("the jobs of a worker that its supervisor saw die go back to their queues at once", async () => {
  await using gym = await startGym({ workers: 1 });
  const body = { task_id: "demo/leap-year", framework: "anthropic.bash-editor" };
  const { episode_id: id } = await gym.client.episode("POST", "/v1/episodes", body);
  const socket = join(loadConfig({ POLYGYM_HOME: gym.home }).runDir, "redis.sock");
  const active = async (): Promise<string> =>
    (await run("redis-cli", ["-s", socket, "LRANGE", "bull:episode:active", "0", "-1"])).stdout;
  expect(await active()).toContain(`${id}-t1`);
  const [worker] = await gym.workers();
  process.kill(worker?.pid ?? 0, "SIGKILL");
  await eventually(async () => !(await active()).includes(`${id}-t1`), AT_ONCE_MS, "the release of its job");
}, 120_000);
