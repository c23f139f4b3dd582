import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Dice } from "./dice.ts";
import { type Plan, type Played, play } from "./trainer.ts";
import { httpWire, socketWire } from "./wire.ts";

/** The cheapest real task, and a framework that a trainer drives by commands. */
export const TASK = "demo/leap-year";
export const FRAMEWORK = "anthropic.bash-editor";
/** Calls that are sent twice at once, as impatient clients do. */
const TWICE = 0.05;

export interface WorkloadOptions {
  readonly url: string;
  readonly token: string;
  readonly root: string;
  readonly run: string;
  readonly dice: Dice;
  /** Episodes to play; more are begun while `goOn` says so. */
  readonly episodes: number;
  readonly goOn: () => boolean;
  /** Played at once. */
  readonly parallel: number;
  /** Longest time that any one episode may take, ms. */
  readonly patienceMs: number;
  /** Told of every episode that has ended. */
  readonly onPlayed?: (played: Played) => void;
}

export function solutionOf(root: string): string {
  return readFileSync(join(root, "environments/tasks", TASK, "solution/files/solution.py"), "utf8").trimEnd();
}

/** Plays episodes of every kind: scripts, and trainers over HTTP and over one shared socket. */
export async function playAll(options: WorkloadOptions): Promise<Played[]> {
  const { dice, root, parallel } = options;
  const solution = solutionOf(root);
  const wires = [httpWire(options), httpWire(options), socketWire(options)] as const;
  const all: Played[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < options.episodes || options.goOn()) {
      const index = next++;
      const own = dice.of(`episode ${index}`);
      const deadline = performance.now() + options.patienceMs;
      const played = await play(planOf(options, index, own), { wire: own.pick(wires), dice: own, solution, deadline });
      all.push(played);
      options.onPlayed?.(played);
    }
  };
  try {
    await Promise.all(Array.from({ length: parallel }, lane));
  } finally {
    for (const wire of wires) wire.close();
  }
  return all;
}

/** Two in five by the gold script, one by the script that does nothing, two by a trainer. */
function planOf({ run }: WorkloadOptions, index: number, dice: Dice): Plan {
  const driver = dice.pick(["gold", "gold", "nothing", "trainer", "trainer"] as const);
  return {
    id: `ep_${run}.${index}`,
    task: TASK,
    framework: FRAMEWORK,
    run,
    driver,
    solves: dice.chance(0.5),
    steps: 1 + dice.below(4),
    pauseS: dice.pick([0, 0, 0.2, 0.5]),
    twice: TWICE,
  };
}
