import type { Presence } from "../../core/mail.ts";
import type { Dice } from "./dice.ts";
import type { Told, Violation } from "./invariants.ts";
import type { Lab, LabNeeds } from "./lab.ts";
import type { LogTail } from "./log-tail.ts";

/** What a fault can see and touch while the workload goes on. */
export interface Scene {
  readonly lab: Lab;
  readonly dice: Dice;
  /** Label of the workload's episodes. */
  readonly run: string;
  /** Lines that the store gets from now on. */
  readonly tail: LogTail;
  /** Says that something is not as expected; it is a violation of the row. */
  report(violation: Violation): void;
  /** Adds an episode that the fault's own clients were told of. */
  accept(told: Told): void;
  /** Adds a figure to the row. */
  figure(name: string, value: number): void;
}

/** One injection: when it hit, and whom. */
export interface Injected {
  /** Epoch ms. */
  readonly at: number;
  /** Process ids of killed owners: their episodes must go on elsewhere. */
  readonly victims: readonly string[];
}

/** A row of faults.md, or one of its parts. */
export interface Fault {
  readonly row: number;
  readonly name: string;
  /** What must be true, in a sentence. */
  readonly expect: string;
  readonly needs?: LabNeeds;
  /** Times that differ from faults.md, and why. */
  readonly shortened?: string;
  /** Injections in a run of the default size. (Default: 1) */
  readonly times?: number;
  /** Share of the episodes relative to other rows. (Default: 1) */
  readonly weight?: number;
  /** Bound of the 99th percentile of calls meanwhile, ms; null: the fault concerns all calls. */
  readonly callsWithinMs: number | null;
  inject(scene: Scene): Promise<Injected>;
  /** Ends the fault. (Default: it ends by itself) */
  heal?(scene: Scene): Promise<void>;
}

/** Runs that faults.md names and this driver cannot make, with the reason. */
export interface NotInjected {
  readonly row: number;
  readonly name: string;
  readonly reason: string;
}

export const now = (victims: readonly string[] = []): Injected => ({ at: Date.now(), victims });

export const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** A worker that runs, drawn by the dice. */
export async function anyWorker({ lab, dice }: Scene): Promise<Presence> {
  const running = (await lab.gym.workers()).filter(({ state }) => state === "running");
  return dice.pick(running);
}

/** Kills a process of the service; false when it had ended. */
export function kill(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}

export const unexpected = (scene: Scene, invariant: Violation["invariant"], what: string): void =>
  scene.report({ invariant, kind: "wrong_answer", episode_id: null, what });
