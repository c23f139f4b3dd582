import { parseArgs } from "node:util";
import type { EpisodeAnswer } from "../core/api.ts";
import { loadConfig } from "../platform/config.ts";
import { bashStep } from "./actions.ts";
import { eventually, type Gym, startGym } from "./gym.ts";
import { keep, machine, percentile, sample } from "./report.ts";

/**
 * `polygym bench episodes`: many alive, parked, revived, forked, and one very long. Each part runs against a service of its
 * own, so that no part's memory is another's.
 */
const BOUND = 256;
const OPENED = 512;
const LOCKSTEP_ROUNDS = 2;
const REVIVED = 40;
const MEASURED = 200;
const { values: flags } = parseArgs({
  options: {
    json: { type: "boolean" },
    calls: { type: "string", default: "1158" },
    soak: { type: "string", default: "2000" },
  },
});
const LONG_CALLS = Number(flags.calls);
const SOAK = Number(flags.soak);
const TASK = "demo/merge-intervals";
const FRAMEWORK = "anthropic.bash-editor";

const create = (gym: Gym, fields: Record<string, unknown> = {}): Promise<EpisodeAnswer> =>
  gym.client.episode("POST", "/v1/episodes", { task_id: TASK, framework: FRAMEWORK, ...fields });
const step = (gym: Gym, id: string, seq: number, command = ":"): Promise<EpisodeAnswer> =>
  gym.client.episode("POST", `/v1/episodes/${id}/step`, { seq, action: bashStep(command) });
const rss = async (gym: Gym): Promise<number> =>
  (await gym.workers()).reduce((sum, worker) => sum + worker.rss_bytes, 0);

/** Opens more than the bound before it steps any, then steps all in lockstep to their rewards. */
async function lockstep() {
  await using gym = await startGym({ episodesPerWorker: BOUND });
  const ids: string[] = [];
  const opened = await sample(OPENED, OPENED, async (index) => {
    ids[index] = (await create(gym)).episode_id;
  });
  for (let round = 1; round <= LOCKSTEP_ROUNDS; round++) {
    await sample(OPENED, OPENED, async (index) => {
      await step(gym, ids[index] ?? "", round, `echo ${index}`);
    });
  }
  let finished = 0;
  await sample(OPENED, OPENED, async (index) => {
    const answer = await gym.client.episode("POST", `/v1/episodes/${ids[index]}/finish`, {
      seq: LOCKSTEP_ROUNDS + 1,
      reason: "submitted",
    });
    if (answer.reward_status === "final") finished++;
  });
  return { bound: BOUND, opened: opened.latencies.length, finished };
}

/** Memory of live and of parked episodes, and what reviving and forking one costs. */
async function parking() {
  await using gym = await startGym();
  const warm = await create(gym);
  await step(gym, warm.episode_id, 1);
  const before = await rss(gym);
  const ids = await Promise.all(Array.from({ length: MEASURED }, async () => (await create(gym)).episode_id));
  await Promise.all(ids.map((id) => step(gym, id, 1, "export GREETING=hi; cd /tmp")));
  const live = await rss(gym);
  await Promise.all(ids.map((id) => gym.client.request("POST", `/v1/episodes/${id}/snapshot`, {})));
  await eventually(async () => (await gym.workers()).every((worker) => worker.live <= 1), 60_000, "parking");
  const parked = await rss(gym);
  const revived = await sample(REVIVED, 1, async (index) => {
    const answer = await step(gym, ids[index] ?? "", 2, "echo $GREETING $PWD");
    const said = JSON.stringify(answer.observations);
    if (!said.includes("hi /tmp")) throw new Error(`the shell did not come back: ${said.slice(0, 300)}`);
  });
  const forked = await sample(REVIVED, 1, async (index) => {
    await gym.client.request("POST", `/v1/episodes/${ids[index + REVIVED]}/fork`, { n: 1 });
  });
  return {
    revive_p50_ms: percentile(revived.latencies, 0.5),
    revive_errors: revived.errors,
    fork_p50_ms: percentile(forked.latencies, 0.5),
    fork_errors: forked.errors,
    memory: {
      live_kb: Math.round((live - before) / 1024 / MEASURED),
      parked_kb: Math.round((parked - before) / 1024 / MEASURED),
    },
  };
}

/** One episode of very many calls: the last must cost what the first did. */
async function longEpisode() {
  await using gym = await startGym();
  const episode = await create(gym, { limits: { steps: 10_000, wall_s: 86_400 } });
  const before = await rss(gym);
  const calls = await sample(LONG_CALLS, 1, async (index) => {
    await step(gym, episode.episode_id, index + 1, `echo ${index} >> log.txt; tail -1 log.txt`);
  });
  const after = await rss(gym);
  return {
    calls: calls.latencies.length,
    errors: calls.errors,
    step_p50_first_100_ms: percentile(calls.latencies.slice(0, 100), 0.5),
    step_p50_last_100_ms: percentile(calls.latencies.slice(-100), 0.5),
    rss_slope: Math.round((after - before) / 1024 / LONG_CALLS),
  };
}

/** Scripted episodes, one after the other in batches: memory must not grow with their number. */
async function soak() {
  await using gym = await startGym();
  const rollout = () =>
    gym.client.episode("POST", "/v1/rollouts", { task_id: TASK, framework: FRAMEWORK, policy: { script: "gold" } });
  await sample(Math.min(200, SOAK), 8, async () => void (await rollout()));
  const before = await rss(gym);
  let rewards = 0;
  const run = await sample(SOAK, 8, async () => {
    if ((await rollout()).reward === 1) rewards++;
  });
  const after = await rss(gym);
  return {
    episodes: SOAK,
    rewards,
    errors: run.errors,
    per_s: Math.round((SOAK / run.wallMs) * 10_000) / 10,
    rss_kb_per_1000: Math.round(((after - before) / 1024 / SOAK) * 1000),
  };
}

const document = {
  machine: machine(),
  lockstep: await lockstep(),
  ...(await parking()),
  long_episode: await longEpisode(),
  soak: await soak(),
};
await keep(`${loadConfig().root}/bench/out/episodes.json`, document);
process.stdout.write(`${flags.json ? JSON.stringify(document) : JSON.stringify(document, null, 2)}\n`);
