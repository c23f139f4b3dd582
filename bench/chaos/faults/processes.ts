import { eventually } from "../../gym.ts";
import { anyWorker, type Fault, type Injected, kill, now, pause, type Scene } from "../fault.ts";
import { evaluateIn } from "../inspector.ts";
import { agentsOf, hostOf, processOf } from "../machine.ts";

/** Rows 1, 2, 3, 8, 9, 11, 16: the processes of the service. */

/** A workload passes every phase many times a second; silence this long is a stop. */
const PHASE_MS = 20_000;
/** The blow falls anywhere in the phase. */
const PHASE_JITTER_MS = 8;
/** Longer than a lock (8 s), the stall check (3 s) and the silence after which an owner counts as lost (4 s). */
const STOPPED_MS = 15_000;
const CALLS_MS = 2_000;

/** Kills the worker that writes the next line of this kind. */
async function killAt(scene: Scene, wanted: (line: string) => boolean): Promise<Injected> {
  for (const deadline = performance.now() + PHASE_MS; performance.now() < deadline; ) {
    const seen = await scene.tail.next((line) => line.includes(scene.run) && wanted(line), PHASE_MS);
    const pid = seen?.processId.startsWith("worker") ? processOf(seen.processId) : null;
    if (seen === null || pid === null) continue;
    // At once as often as later: some phases are over in a moment.
    if (scene.dice.chance(0.5)) await pause(scene.dice.below(PHASE_JITTER_MS));
    const injected = now([seen.processId]);
    if (kill(pid, "SIGKILL")) return injected;
  }
  throw new Error("no worker came into the phase in which it was to be killed");
}

const event =
  (type: string) =>
  (line: string): boolean =>
    line.includes(`"type":"${type}"`);

const killRow = (name: string, phase: string, wanted: (line: string) => boolean): Fault => ({
  row: 1,
  name: `kill_${name}`,
  expect: `a worker killed ${phase}: its episodes go on within 3 s, and nothing is done twice`,
  times: 4,
  weight: 2,
  callsWithinMs: CALLS_MS,
  inject: (scene) => killAt(scene, wanted),
});

export const kills: readonly Fault[] = [
  killRow("booting", "while it boots an episode", event("term.granted")),
  killRow("mid_exec", "while a command runs", event("step.accepted")),
  killRow("verifying", "while it judges", event("submission.frozen")),
  killRow("before_commit", "between verdict and reward", event("verdict.recorded")),
  killRow("after_commit", "between the reward's record and its events", (line) => line.includes('"state":"done"')),
];

const serverKilled: Fault = {
  row: 1,
  name: "kill_server",
  expect: "a server killed while it makes an episode: clients ask again, and its log begins where it should",
  times: 3,
  callsWithinMs: null,
  inject: async (scene) => {
    const pid = await serverPid(scene);
    await scene.tail.next((line) => line.includes(scene.run) && line.includes('"state":"queued"'), PHASE_MS);
    const injected = now();
    kill(pid, "SIGKILL");
    await pause(1_000);
    return injected;
  },
};

const stopped: Fault = {
  row: 2,
  name: "stop_worker",
  expect: "a worker that was stopped and goes on has lost its terms: it commits nothing",
  shortened: `${STOPPED_MS / 1000} s instead of 40: longer than the lock (8 s), the stall check (3 s) and the census (4 s)`,
  callsWithinMs: CALLS_MS,
  inject: async (scene) => {
    const worker = await anyWorker(scene);
    kill(worker.pid, "SIGSTOP");
    const injected = now();
    await pause(STOPPED_MS);
    kill(worker.pid, "SIGCONT");
    return injected;
  },
};

const blocked: Fault = {
  row: 3,
  name: "block_event_loop",
  expect: "a worker whose event loop was blocked has lost its terms: it commits nothing",
  shortened: `${STOPPED_MS / 1000} s instead of 20: longer than the lock (8 s), the stall check (3 s) and the census (4 s)`,
  callsWithinMs: CALLS_MS,
  inject: async (scene) => {
    const worker = await anyWorker(scene);
    const injected = now();
    await evaluateIn(worker.pid, `for (const end = Date.now() + ${STOPPED_MS}; Date.now() < end; ) {}`);
    await pause(STOPPED_MS);
    return injected;
  },
};

const hostCrash: Fault = {
  row: 8,
  name: "light_host_killed",
  expect: "sandboxes die with their native host, which is started again within 2 s; no episode scores by it",
  times: 2,
  callsWithinMs: CALLS_MS,
  inject: async (scene) => {
    const worker = await anyWorker(scene);
    // The one that was killed before may still be on its way back.
    const host = () => hostOf(worker.pid);
    await eventually(async () => host() !== null, PHASE_MS, `the native host of ${worker.id}`);
    const injected = now();
    kill(host() ?? 0, "SIGKILL");
    return injected;
  },
};

const agentKilled: Fault = {
  row: 9,
  name: "agent_killed",
  expect:
    "a sandbox whose first process is killed from outside is lost: its episode has no reward, its verdict is made again",
  times: 4,
  callsWithinMs: CALLS_MS,
  inject: async (scene) => {
    for (let tries = 0; tries < 200; tries++) {
      const worker = await anyWorker(scene);
      const host = hostOf(worker.pid);
      const agents = host === null ? [] : agentsOf(host);
      const injected = now();
      if (agents.length > 0 && kill(scene.dice.pick(agents), "SIGKILL")) return injected;
      await pause(5);
    }
    throw new Error("no sandbox was open");
  },
};

/** In the worker's own clock: the machine's is everybody's. */
const jump = (name: string, ms: number): Fault => ({
  row: 11,
  name,
  expect: "timers follow the monotonic clock: nothing expires, nothing waits",
  shortened: "the clock of one worker process jumps, not the machine's, which other programs use",
  callsWithinMs: CALLS_MS,
  inject: async (scene) => {
    const worker = await anyWorker(scene);
    const injected = now();
    await evaluateIn(worker.pid, `{ const real = Date.now; Date.now = () => real() + ${ms}; }`);
    await pause(3_000);
    return injected;
  },
});

const rolling: Fault = {
  row: 16,
  name: "rolling_restart",
  expect: "every process is asked to end in turn and comes back; no call fails for good",
  weight: 2,
  callsWithinMs: null,
  inject: async (scene) => {
    const injected = now();
    for (const worker of await scene.lab.gym.workers()) {
      kill(worker.pid, "SIGTERM");
      await pause(3_000);
    }
    const server = await serverPid(scene);
    kill(server, "SIGTERM");
    await pause(3_000);
    return injected;
  },
};

async function serverPid({ lab }: Scene): Promise<number> {
  const id = await lab.redis.command("SRANDMEMBER", "presence:servers");
  const presence = JSON.parse(await lab.redis.command("GET", `presence:${id}`)) as { pid: number }; // the server's own
  return presence.pid;
}

export const processFaults: readonly Fault[] = [
  ...kills,
  serverKilled,
  stopped,
  blocked,
  hostCrash,
  agentKilled,
  jump("clock_forward_1h", 3_600_000),
  jump("clock_back_1h", -3_600_000),
  rolling,
];
