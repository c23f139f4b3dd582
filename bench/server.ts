import type { EpisodeAnswer } from "../core/api.ts";
import { loadConfig } from "../platform/config.ts";
import { bashStep } from "./actions.ts";
import { type GymClient, gymClient, gymSocket } from "./client.ts";
import { benchFlags } from "./flags.ts";
import { keep, machine, percentile, type Row, rowOf, type Samples, sample, table } from "./report.ts";

/**
 * `polygym bench server`: what the platform itself costs a trainer. Steps run a shell builtin, so that nearly all time is
 * ours. The generator shares the machine and is counted in.
 */
const LOCKSTEP = 256;
const ROUNDS = 4;
const LANES = 16;
const STEPS_PER_LANE = 48;
const TASK = "demo/merge-intervals";
const FRAMEWORK = "anthropic.bash-editor";

interface WorkerView {
  readonly rss_bytes: number;
  readonly loop_p99_ms: number;
}

const workersOf = async (client: GymClient): Promise<WorkerView[]> => {
  const answer = (await client.request("GET", "/v1/workers")) as { items: WorkerView[] }; // the server's own schema
  return answer.items;
};
const memoryOf = async (client: GymClient): Promise<number> =>
  (await workersOf(client)).reduce((sum, w) => sum + w.rss_bytes, 0);

async function lockstep(client: GymClient, task: string, rows: Row[]) {
  const ids: string[] = Array.from({ length: LOCKSTEP }, () => "");
  const before = await memoryOf(client);
  const opened = await sample(LOCKSTEP, 32, async (index) => {
    const answer = await client.episode("POST", "/v1/episodes", {
      task_id: task,
      framework: FRAMEWORK,
      run: "bench-lockstep",
    });
    ids[index] = answer.episode_id;
    if (answer.state !== "ready") throw new Error(`${answer.episode_id} is ${answer.state}`);
  });
  rows.push(rowOf("polygym", "create (all kept open)", 32, opened));
  const kept = await memoryOf(client);
  for (let round = 1; round <= ROUNDS; round++) {
    const stepped = await sample(LOCKSTEP, 64, async (index) => {
      await client.episode("POST", `/v1/episodes/${ids[index]}/step`, { seq: round, action: bashStep(":") });
    });
    rows.push(rowOf("polygym", `step over HTTP, round ${round}`, 64, stepped));
  }
  let rewards = 0;
  const finished = await sample(LOCKSTEP, 64, async (index) => {
    const answer = await client.episode("POST", `/v1/episodes/${ids[index]}/finish`, {
      seq: ROUNDS + 1,
      reason: "submitted",
    });
    if (answer.reward_status === "final") rewards++;
  });
  rows.push(rowOf("polygym", "finish to reward", 64, finished));
  const after = await memoryOf(client);
  return {
    opened: opened.latencies.length,
    rewards,
    memory_per_episode_kb: Math.round((kept - before) / 1024 / LOCKSTEP),
    memory_after_kb: Math.round((after - before) / 1024),
  };
}

async function overSocket(url: string, token: string, task: string, rows: Row[]) {
  const socket = await gymSocket(url, token);
  const own: number[] = [];
  const create = () => socket.call("create", { task_id: task, framework: FRAMEWORK, run: "bench-socket" });
  const single = await create();
  const step = async (episode: EpisodeAnswer, seq: number) => {
    const answer = await socket.call("step", { episode_id: episode.episode_id, seq, action: bashStep(":") });
    if (answer.timing.own_ms !== null) own.push(answer.timing.own_ms);
  };
  rows.push(rowOf("polygym", "step over WebSocket", 1, await sample(40, 1, (i) => step(single, i + 1))));
  const many = await Promise.all(Array.from({ length: LANES }, create));
  const started = performance.now();
  const lanes = await Promise.all(many.map((episode) => sample(STEPS_PER_LANE, 1, (i) => step(episode, i + 1))));
  const together: Samples = {
    latencies: lanes.flatMap((lane) => lane.latencies),
    errors: lanes.reduce((sum, lane) => sum + lane.errors, 0),
    wallMs: performance.now() - started,
  };
  rows.push(rowOf("polygym", "step over WebSocket", LANES, together));
  await Promise.all([single, ...many].map((e) => socket.call("cancel", { episode_id: e.episode_id })));
  socket.close();
  return { own_p50_ms: percentile(own, 0.5), own_p99_ms: percentile(own, 0.99) };
}

const config = loadConfig();
const address = config.url ?? `http://${config.host}:${config.port}`;
const { json } = benchFlags("server", "What a step costs through the server: latency, throughput, memory.", {});
const client = gymClient(address, config.token ?? "");
const tasks = (await client.request("GET", "/v1/tasks")) as { items: { id: string }[] }; // the server's own schema
const task = tasks.items.find((t) => t.id === TASK)?.id ?? tasks.items[0]?.id;
if (task === undefined) throw new Error("the service serves no task");
const rows: Row[] = [];
const locked = await lockstep(client, task, rows);
const socket = await overSocket(address, config.token ?? "", task, rows);
const stall = Math.max(...(await workersOf(client)).map((w) => w.loop_p99_ms));
const http = rows.filter((r) => r.operation.startsWith("step over HTTP"));
const ws = rows.find((r) => r.operation === "step over WebSocket" && r.parallel === 1);
const document = {
  machine: machine(),
  steps_per_s: Math.max(...http.map((r) => r.per_s)),
  ws_steps_per_s: rows.find((r) => r.operation === "step over WebSocket" && r.parallel === LANES)?.per_s ?? null,
  ...socket,
  ws_p50_ms: ws?.p50_ms ?? null,
  ws_p99_ms: ws?.p99_ms ?? null,
  loop_stall_p99_ms: stall,
  lockstep: locked,
  rows,
};
await keep(`${config.root}/bench/out/server.json`, document);
process.stdout.write(
  json
    ? `${JSON.stringify(document)}\n`
    : `${table(rows)}\n\nown time per step p50/p99 ${socket.own_p50_ms}/${socket.own_p99_ms} ms, loop stall p99 ${stall} ms, ${JSON.stringify(locked)}\n`,
);
