import type { EpisodeRecord } from "../../core/episode.ts";
import { loadConfig } from "../../platform/config.ts";
import { eventually } from "../gym.ts";
import { percentile } from "../report.ts";
import { crashesIn } from "./crashes.ts";
import { type Dice, diceOf } from "./dice.ts";
import type { Fault, Injected, Scene } from "./fault.ts";
import { checkInvariants, type Told, type Violation } from "./invariants.ts";
import { type Lab, openLab } from "./lab.ts";
import { readStoreLog, type StoreLog } from "./log.ts";
import { LogTail } from "./log-tail.ts";
import { recoveries } from "./recoveries.ts";
import type { Played } from "./trainer.ts";
import { playAll } from "./workload.ts";

const PARALLEL = 8;
/** Longest time of one episode, faults included; who waits longer has lost it. */
const PATIENCE_MS = 120_000;
const QUIESCE_MS = 60_000;
/** Orphaned sandboxes are freed within 10 s (faults.md, row 1). */
const SANDBOXES_FREE_MS = 10_000;
const PROBE_EVERY_MS = 100;
/** Episodes that end before the fault: a service that never worked shows nothing. */
const BEFORE = 3;
const STEADY_MS = 60_000;

export interface RowResult {
  readonly row: number;
  readonly name: string;
  readonly expect: string;
  readonly injected: number;
  readonly episodes: number;
  readonly recovered: number;
  readonly recovered_ms: { readonly p50: number | null; readonly max: number | null };
  /** Ended without a reward by a failure of ours, and why. */
  readonly infra: number;
  readonly failures: Readonly<Record<string, number>>;
  readonly calls_p99_ms: number | null;
  readonly figures: Readonly<Record<string, number>>;
  readonly seconds: number;
  readonly violations: readonly Violation[];
}

export interface RowOptions {
  readonly fault: Fault;
  readonly seed: string;
  readonly episodes: number;
  readonly times: number;
}

/** One row: a service, a workload, the fault, quiet, then the invariants by what is in the store and on the machine. */
export async function runRow({ fault, seed, episodes, times }: RowOptions): Promise<RowResult> {
  const began = performance.now();
  const dice = diceOf(seed).of(fault.name);
  const run = `chaos-${fault.name.replaceAll("_", "-")}`;
  const notes = newNotes();
  const lab = await openLab(fault.needs ?? {}, dice);
  const injected: Injected[] = [];
  const healed: number[] = [];
  let log: StoreLog;
  let leaks: string[];
  let played: Played[];
  let calls: number[];
  try {
    using tail = new LogTail(lab.home);
    const scene: Scene = { lab, dice: dice.of("fault"), run, tail, ...notes.scene };
    using probe = startProbe(lab);
    played = await playBeside({ lab, dice, run, episodes }, async () => {
      for (let i = 0; i < times; i++) {
        injected.push(await fault.inject(scene));
        await fault.heal?.(scene);
        healed.push(Date.now());
      }
    });
    calls = probe.latencies;
    await quiesce(lab, notes.violations);
    lab.footprint.observe();
    await lab.gym.stop();
    leaks = lab.footprint.leftovers();
    log = readStoreLog(lab.home);
    notes.violations.push(...crashesIn(lab.home));
  } finally {
    await lab[Symbol.asyncDispose]();
  }
  const bound = fault.callsWithinMs;
  const p99Ms = percentile(calls, 0.99);
  const told = [...played.flatMap((one) => one.told ?? []), ...notes.told];
  const violations = [
    ...notes.violations,
    ...checkInvariants({
      told,
      log,
      leaks,
      calls: bound === null ? null : { count: calls.length, p99Ms, boundMs: bound },
    }),
    ...played.flatMap(clientViolations),
  ];
  const infra = [...log.records.values()].filter(isInfra);
  const recovered = recoveries(log, injected, healed);
  return {
    row: fault.row,
    name: fault.name,
    expect: fault.expect,
    injected: injected.length,
    episodes: log.records.size,
    recovered: recovered.length,
    recovered_ms:
      recovered.length === 0
        ? { p50: null, max: null }
        : { p50: percentile(recovered, 0.5), max: Math.max(...recovered) },
    infra: infra.length,
    failures: countedBy(infra, ({ failure }) => `${failure?.code} ${failure?.stage}: ${failure?.message}`),
    calls_p99_ms: bound === null ? null : p99Ms,
    figures: notes.figures,
    seconds: Math.round((performance.now() - began) / 100) / 10,
    violations,
  };
}

/** A row that could not be run shows as one: silence is not success. */
export function brokenRow({ fault }: RowOptions, error: unknown): RowResult {
  const what = `the row was not run: ${error instanceof Error ? error.message : String(error)}`;
  return {
    row: fault.row,
    name: fault.name,
    expect: fault.expect,
    injected: 0,
    episodes: 0,
    recovered: 0,
    recovered_ms: { p50: null, max: null },
    infra: 0,
    failures: {},
    calls_p99_ms: null,
    figures: {},
    seconds: 0,
    violations: [{ invariant: "I1", kind: "wrong_answer", episode_id: null, what }],
  };
}

const isInfra = ({ outcome }: EpisodeRecord): boolean => outcome === "infra_error" || outcome === "verifier_error";

function countedBy<T>(items: readonly T[], nameOf: (item: T) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of items.map(nameOf)) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

function newNotes() {
  const violations: Violation[] = [];
  const told: Told[] = [];
  const figures: Record<string, number> = {};
  const scene = {
    report: (violation: Violation) => void violations.push(violation),
    accept: (one: Told) => void told.push(one),
    figure: (name: string, value: number) => {
      figures[name] = value;
    },
  };
  return { violations, told, figures, scene };
}

interface Beside {
  readonly lab: Lab;
  readonly dice: Dice;
  readonly run: string;
  readonly episodes: number;
}

/** Plays the workload; `work` begins when it is under way, and the workload goes on until `work` is done. */
async function playBeside({ lab, dice, run, episodes }: Beside, work: () => Promise<void>): Promise<Played[]> {
  let ended = 0;
  let working = true;
  const playing = playAll({
    url: lab.gym.url,
    token: lab.gym.token,
    root: loadConfig().root,
    run,
    dice: dice.of("workload"),
    episodes,
    goOn: () => working,
    parallel: PARALLEL,
    patienceMs: PATIENCE_MS,
    onPlayed: () => ended++,
  });
  const faults = (async () => {
    try {
      await eventually(async () => ended >= BEFORE, STEADY_MS, `the first ${BEFORE} episodes`);
      await work();
    } finally {
      working = false;
    }
  })();
  // A fault that cannot be injected leaves no episode behind: the workload ends first.
  const [played, injecting] = await Promise.allSettled([playing, faults]);
  if (injecting.status === "rejected") throw injecting.reason;
  if (played.status === "rejected") throw played.reason;
  return played.value;
}

/** Calls that need neither Redis nor a worker, timed while the fault is there. */
function startProbe({ gym }: Lab): Disposable & { readonly latencies: number[] } {
  const latencies: number[] = [];
  const timer = setInterval(() => {
    const began = performance.now();
    fetch(`${gym.url}/v1/tasks`, { headers: { authorization: `Bearer ${gym.token}` } })
      .then((response) => response.text())
      .then(
        () => latencies.push(performance.now() - began),
        () => undefined, // an outage is seen by the workload
      );
  }, PROBE_EVERY_MS);
  return { latencies, [Symbol.dispose]: () => clearInterval(timer) };
}

async function quiesce({ gym }: Lab, violations: Violation[]): Promise<void> {
  const open = async (): Promise<number> => {
    const { counts } = (await gym.client.request("GET", "/v1/episodes?limit=1")) as {
      counts: { total: number; state: { done?: number } };
    }; // the server's own schema
    return counts.total - (counts.state.done ?? 0);
  };
  // What never ends is found in the store.
  await eventually(async () => (await open()) === 0, QUIESCE_MS, "the end of every episode").catch(() => undefined);
  // Sandboxes that wait ready for the next episode are meant to be there; what outlives the service is found after its end.
  const held = async (): Promise<string[]> =>
    (await gym.workers()).flatMap(({ id, live, jobs }) =>
      live + jobs === 0 ? [] : [`${id} holds ${live} places and ${jobs} jobs`],
    );
  await eventually(async () => (await held()).length === 0, SANDBOXES_FREE_MS, "free sandboxes").catch(async () => {
    const what = `${SANDBOXES_FREE_MS} ms after the last episode ended ${(await held()).join(", ")}`;
    violations.push({ invariant: "I5", kind: "leak", episode_id: null, what });
  });
}

function clientViolations({ plan, refusals, unanswered }: Played): Violation[] {
  const found: Violation[] = refusals.map((what) => ({
    invariant: "I4",
    kind: "wrong_answer",
    episode_id: plan.id,
    what,
  }));
  if (unanswered)
    found.push({ invariant: "I1", kind: "lost", episode_id: plan.id, what: `not answered within ${PATIENCE_MS} ms` });
  return found;
}
