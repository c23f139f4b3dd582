import { createHmac } from "node:crypto";
import type { Check } from "../../core/verifier.ts";

/**
 * What each run of a test body stands for. Decided by the secret seed, known to the worker alone.
 *   test: reported as its body went · twin: reported the other way round · pass, fail: reported so whatever the body did ·
 *   spoilt: a copy whose assertion cannot hold; its body must raise, and it is reported straight or the other way round.
 */
export type RunKind = "test" | "twin" | "pass" | "fail" | "spoilt" | "spoilt-twin";

export interface PlannedRun {
  /** Name of the run inside; says nothing. */
  readonly name: string;
  /** The test whose body it runs. */
  readonly id: string;
  readonly kind: RunKind;
}

/** Tests that get calibration runs beside their twin: enough that guessing every one is hopeless, few enough to stay fast. */
const CALIBRATED = 8;

/** Draws 32-bit numbers from the secret seed and a purpose. */
export function secretDraws(seed: number, purpose: string): () => number {
  let count = 0;
  return () =>
    createHmac("sha256", `polygym canaries ${seed}`).update(`${purpose} ${count++}`).digest().readUInt32BE(0);
}

/** The runs of a suite, in order: those of one test side by side, shuffled. */
export function planRuns(seed: number, ids: readonly string[], spoilable: ReadonlySet<string>): PlannedRun[] {
  const draw = secretDraws(seed, "runs");
  const calibrated = new Set(sample(ids, CALIBRATED, draw));
  const spoilt = new Set(
    sample(
      ids.filter((id) => spoilable.has(id)),
      CALIBRATED,
      draw,
    ),
  );
  return ids.flatMap((id) => {
    const kinds: RunKind[] = ["test", "twin"];
    if (calibrated.has(id)) kinds.push("pass", "fail");
    if (spoilt.has(id)) kinds.push(draw() % 2 === 0 ? "spoilt" : "spoilt-twin");
    return sample(kinds, kinds.length, draw).map((kind) => ({ name: secretName(draw), id, kind }));
  });
}

/** A number that no honest value equals, for the spoilt copy of each test function. */
export function sentinels(seed: number, functions: readonly string[]): Record<string, number> {
  const draw = secretDraws(seed, "sentinels");
  return Object.fromEntries(functions.map((name) => [name, 1_000_000_007 + draw() * 1009]));
}

export const mustFail = (kind: RunKind, raised: boolean): boolean => {
  if (kind === "pass") return false;
  if (kind === "fail") return true;
  return kind === "twin" || kind === "spoilt-twin" ? !raised : raised;
};

/** What was seen of one run. */
export interface RunRecord {
  /** Whether its body raised; null when it never ran. */
  raised: boolean | null;
  readonly reports: { when: string; outcome: string }[];
}

type RunEnd = "passed" | "failed" | "error" | "missing";

/** How pytest reported a run: by its call, unless its set-up or tear-down broke. */
function endOf({ reports }: RunRecord): RunEnd {
  const call = reports.filter(({ when }) => when === "call");
  const around = reports.filter(({ when }) => when !== "call");
  if (reports.length === 0) return "missing";
  if (around.some(({ outcome }) => outcome !== "passed")) return "error";
  const [only] = call;
  if (call.length !== 1 || around.length !== 2 || only === undefined) return "missing";
  return only.outcome === "passed" ? "passed" : "failed";
}

export interface SuiteVerdict {
  readonly checks: Check[];
  /** Signs of a forged run; any of them makes the score 0. */
  readonly forged: string[];
}

/** The verdict over all runs. A run that was not reported as it was decided is forged, and so is one that is missing. */
export function weighRuns(runs: readonly PlannedRun[], records: ReadonlyMap<string, RunRecord>): SuiteVerdict {
  const forged: string[] = [];
  const checks = [...Map.groupBy(runs, ({ id }) => id)].map(([id, group]): Check => {
    const ends = new Map<RunKind, RunEnd>();
    for (const { name, kind } of group) {
      const record = records.get(name) ?? { raised: null, reports: [] };
      const end = endOf(record);
      ends.set(kind, end);
      const sign = signOfForgery(kind, record, end);
      if (sign !== null) forged.push(`${id}: ${sign}`);
    }
    const [test = "missing", twin = "missing"] = [ends.get("test"), ends.get("twin")];
    if (test === "passed" && twin === "passed") forged.push(`${id}: the test and its inverted twin both passed`);
    if (test === "passed" && twin === "failed") return { id, status: "passed" };
    return { id, status: test === "passed" ? "failed" : test };
  });
  return { checks, forged };
}

function signOfForgery(kind: RunKind, { raised }: RunRecord, end: RunEnd): string | null {
  if (end === "error") return null;
  if (end === "missing" || raised === null) return "a run is missing";
  if ((kind === "spoilt" || kind === "spoilt-twin") && !raised) return "an assertion that cannot hold has held";
  if (mustFail(kind, raised) !== (end === "failed")) return "a run was not reported as it was decided";
  return null;
}

function sample<T>(from: readonly T[], count: number, draw: () => number): T[] {
  const rest = [...from];
  const taken: T[] = [];
  while (taken.length < count && rest.length > 0) taken.push(...rest.splice(draw() % rest.length, 1));
  return taken;
}

const LETTERS = "abcdefghijklmnopqrstuvwxyz";

function secretName(draw: () => number): string {
  const letters = Array.from({ length: 14 }, () => LETTERS.charAt(draw() % LETTERS.length));
  return `test_${letters.join("")}`;
}
