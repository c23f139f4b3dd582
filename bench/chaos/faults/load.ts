import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../../gym.ts";
import { type Fault, kill, now, type Scene, unexpected } from "../fault.ts";
import { processOf } from "../machine.ts";
import { httpWire } from "../wire.ts";
import { FRAMEWORK, TASK } from "../workload.ts";
import { playOne, trainerPlan } from "./clients.ts";

/** Rows 17 to 22: tasks that kill, verifiers that waver, budgets, memory, deserted episodes, many starts. */

const CALLS_MS = 2_000;
const POISON_TERMS = 3;
const GRANT_MS = 60_000;
const QUARANTINE_MS = 30_000;

const poison: Fault = {
  row: 17,
  name: "poison_task",
  expect: "an episode that kills its worker three times is quarantined, and the queue goes on",
  callsWithinMs: CALLS_MS,
  inject: async (scene) => {
    const wire = httpWire(scene.lab.gym);
    const id = `ep_${scene.run}.poison`;
    const injected = now();
    const watching = killEveryOwner(scene, id);
    const body = { episode_id: id, task_id: TASK, framework: FRAMEWORK, run: scene.run };
    await wire.send({ op: "create", body });
    const kills = await watching;
    scene.figure("owners_killed", kills);
    const done = async (): Promise<boolean> => {
      const said = await wire.send({ op: "get", id });
      return said.status === "answer" && said.answer.state === "done" && said.answer.outcome === "infra_error";
    };
    await eventually(done, QUARANTINE_MS, "the quarantine").catch((error: unknown) =>
      unexpected(scene, "I1", String(error)),
    );
    return injected;
  },
};

async function killEveryOwner(scene: Scene, id: string): Promise<number> {
  let kills = 0;
  while (kills < POISON_TERMS) {
    const seen = await scene.tail.next(
      (line) => line.includes(`"${id}"`) && line.includes('"type":"term.granted"'),
      GRANT_MS,
    );
    if (seen === null) break;
    const pid = processOf(seen.processId);
    if (pid !== null && kill(pid, "SIGKILL")) kills++;
  }
  return kills;
}

const JUDGED = 50;

const flake: Fault = {
  row: 18,
  name: "same_submission_50_times",
  expect: "a submission is judged the same every time; flips are reported",
  callsWithinMs: CALLS_MS,
  inject: async (scene) => {
    const { gym } = scene.lab;
    const injected = now();
    const rewards: (number | null)[] = [];
    const lane = async (): Promise<void> => {
      while (rewards.length < JUDGED) {
        const files = { "solution.py": "def is_leap(year):\n    return year % 4 == 0\n" };
        const answer = await gym.client.request("POST", "/v1/verify", { task_id: TASK, submission: { files } });
        rewards.push((answer as { reward: number | null }).reward); // the server's own schema
      }
    };
    await Promise.all(Array.from({ length: 4 }, lane));
    const flips = rewards.filter((reward) => reward !== rewards[0]).length;
    scene.figure("judged", rewards.length);
    scene.figure("flips", flips);
    if (flips > 0) unexpected(scene, "I3", `${flips} of ${rewards.length} verdicts on one submission differ`);
    return injected;
  },
};

const budget: Fault = {
  row: 19,
  name: "lifetime_and_budget",
  expect: "an attempt that used its time up is judged in full: the sandbox's life does not end its verdict",
  callsWithinMs: CALLS_MS,
  inject: async (scene) => {
    const injected = now();
    const wire = httpWire(scene.lab.gym);
    await Promise.all(
      [0, 1, 2].map(async (i) => {
        const plan = trainerPlan(scene, `late-${i}`, { steps: 1, pauseS: 30, fields: { limits: { wall_s: 3 } } });
        await playOne(scene, plan, wire);
        const said = await wire.send({ op: "get", id: plan.id });
        const answer = said.status === "answer" ? said.answer : null;
        if (answer?.stop_reason !== "wall_limit" || answer.reward !== 1)
          unexpected(scene, "I3", `${plan.id} ended by ${answer?.stop_reason} with reward ${answer?.reward}, not 1`);
      }),
    );
    return injected;
  },
};

const SOAK_ROLLOUTS = 200;
/** Descriptors that come and go with what is under way. */
const DESCRIPTORS = 40;

const soak: Fault = {
  row: 20,
  name: "soak",
  expect: "descriptors, groups and memory of a worker do not grow with the number of episodes",
  shortened: `${SOAK_ROLLOUTS} rollouts; \`bench episodes\` measures 20,000, and one of 1,158 calls`,
  callsWithinMs: CALLS_MS,
  needs: { workers: 1 },
  inject: async (scene) => {
    const wire = httpWire(scene.lab.gym);
    const injected = now();
    const rollouts = async (name: string, count: number): Promise<void> => {
      let next = 0;
      const lane = async (): Promise<void> => {
        while (next < count)
          await playOne(scene, trainerPlan(scene, `${name}-${next++}`, { driver: "nothing", solves: false }), wire);
      };
      await Promise.all(Array.from({ length: 6 }, lane));
    };
    await rollouts("warm", SOAK_ROLLOUTS / 4);
    const before = await usage(scene);
    await rollouts("soak", SOAK_ROLLOUTS);
    const after = await usage(scene);
    scene.figure("rss_growth_mb", Math.round((after.rss - before.rss) / 2 ** 20));
    scene.figure("descriptor_growth", after.descriptors - before.descriptors);
    if (after.descriptors - before.descriptors > DESCRIPTORS)
      unexpected(scene, "I5", `a worker had ${before.descriptors} descriptors, then ${after.descriptors}`);
    return injected;
  },
};

async function usage({ lab }: Scene): Promise<{ rss: number; descriptors: number }> {
  const workers = await lab.gym.workers();
  return {
    rss: workers.reduce((sum, worker) => sum + worker.rss_bytes, 0),
    descriptors: workers.reduce((sum, { pid }) => sum + readdirSync(`/proc/${pid}/fd`).length, 0),
  };
}

const DESERTED = 30;
/** Idle episodes are parked after 60 s. */
const PARKED_MS = 90_000;

const deserted: Fault = {
  row: 21,
  name: "trainer_killed",
  expect: "the 30 episodes of a killed trainer are parked after 60 s and hold no sandbox",
  callsWithinMs: CALLS_MS,
  inject: async (scene) => {
    const { gym } = scene.lab;
    const script = join(import.meta.dirname, "..", "deserter.ts");
    const child = spawn(process.execPath, [script, gym.url, gym.token, scene.run, String(DESERTED)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    child.kill("SIGKILL");
    const injected = now();
    const parked = async (): Promise<boolean> => {
      const answer = await gym.client.request("GET", "/v1/episodes?state=parked&limit=1");
      return (answer as { counts: { total: number } }).counts.total >= DESERTED; // the server's own schema
    };
    await eventually(parked, PARKED_MS, "the parking of every deserted episode").catch((error: unknown) =>
      unexpected(scene, "I5", String(error)),
    );
    scene.figure("parked_after_s", Math.round((Date.now() - injected.at) / 1_000));
    for (let i = 0; i < DESERTED; i++) await gym.client.request("DELETE", `/v1/episodes/ep_${scene.run}.deserted-${i}`);
    return injected;
  },
};

const STORM = 200;

const storm: Fault = {
  row: 22,
  name: "start_storm",
  expect: "many starts at once over few places: all are served, the wait is told apart from the start",
  needs: { workers: 2, episodesPerWorker: 8 },
  callsWithinMs: CALLS_MS,
  inject: async (scene) => {
    const wire = httpWire(scene.lab.gym);
    const injected = now();
    const plans = Array.from({ length: STORM }, (_, i) =>
      trainerPlan(scene, `storm-${i}`, { steps: 1, pauseS: 0, solves: false }),
    );
    await Promise.all(plans.map((plan) => playOne(scene, plan, wire)));
    const said = await wire.send({ op: "get", id: plans.at(-1)?.id ?? "" });
    const timing = said.status === "answer" ? said.answer.timing : null;
    if (timing?.queued_ms == null || timing.boot_ms == null)
      unexpected(scene, "I1", "queueing and start are not told apart");
    scene.figure("queued_ms", timing?.queued_ms ?? -1);
    scene.figure("boot_ms", timing?.boot_ms ?? -1);
    return injected;
  },
};

export const loadFaults: readonly Fault[] = [poison, flake, budget, soak, deserted, storm];
