import { type Row, rowOf } from "../report.ts";

/** How long and how much is measured. */
export interface Plan {
  /** Small counts, for trying out. */
  readonly quick: boolean;
  /** A row stops taking samples after this; its count says how many it got. */
  readonly budgetMs: number;
  readonly signal: AbortSignal;
}

/** A row of the document, with what is kept beside it in bench/out. */
export interface Measured extends Row {
  /** Share of one core that the process that measured used meanwhile. */
  readonly generator_cpu: number;
  readonly samples_ms: readonly number[];
  /** Of one idle sandbox: its processes' own share of memory. */
  readonly memory_kb?: number;
  /** The same, as what the machine had less; the neighbours' doing is in it. */
  readonly available_kb?: number;
}

/** What could not be measured, and why. */
export interface Missing {
  readonly subject: string;
  readonly what: string;
  readonly reason: string;
}

export interface Results {
  readonly rows: readonly Measured[];
  readonly missing: readonly Missing[];
}

/** Of what is seen only after all samples were taken. */
export interface Afterwards {
  readonly errors?: number;
  readonly memory_kb?: number;
  readonly available_kb?: number;
}

export interface Operation {
  readonly operation: string;
  readonly parallel: number;
  /** On a full run; a quick one takes a tenth. */
  readonly count: number;
  /** Instead of the plan's, where only the whole number means something. */
  readonly budgetMs?: number;
  /** One sample: what it answers is its latency, what it throws is an error. Checks its result itself, untimed. */
  readonly work: (lane: number, index: number) => Promise<number>;
  readonly after?: () => Promise<Afterwards>;
}

export interface Recorder {
  readonly plan: Plan;
  readonly results: Results;
  measure(operation: Operation): Promise<void>;
  miss(what: string, reason: unknown): void;
  /** Runs a part that may not work here at all; then it is missing. */
  attempt(what: string, part: () => Promise<void>): Promise<void>;
}

export function recorder(subject: string, plan: Plan): Recorder {
  const rows: Measured[] = [];
  const missing: Missing[] = [];
  const miss = (what: string, reason: unknown): void => {
    missing.push({ subject, what, reason: textOf(reason) });
    process.stderr.write(`missing: ${subject} ${what}: ${textOf(reason)}\n`);
  };
  return {
    plan,
    results: { rows, missing },
    miss,
    measure: async (operation) => {
      const row = await take(subject, plan, operation);
      rows.push(row);
      process.stderr.write(
        `${subject} ${row.operation} x${row.parallel}: ${row.p50_ms} ms, ${row.count} samples, ${row.errors} errors\n`,
      );
    },
    attempt: async (what, part) => {
      try {
        await part();
      } catch (error) {
        plan.signal.throwIfAborted();
        miss(what, error);
      }
    },
  };
}

async function take(
  subject: string,
  plan: Plan,
  { operation, parallel, count, budgetMs = plan.budgetMs, work, after }: Operation,
) {
  const wanted = plan.quick ? Math.max(Math.ceil(count / 10), Math.min(parallel, count)) : count;
  const latencies: number[] = [];
  let errors = 0;
  let next = 0;
  const cpu = process.cpuUsage();
  const started = performance.now();
  const lane = async (number: number): Promise<void> => {
    for (let index = next++; index < wanted; index = next++) {
      plan.signal.throwIfAborted();
      // Every lane takes one sample, so that a row is what its `parallel` says.
      if (index >= parallel && performance.now() - started > budgetMs) return;
      try {
        latencies.push(await work(number, index));
      } catch (error) {
        errors++;
        if (errors === 1) process.stderr.write(`${subject} ${operation} x${parallel}: ${textOf(error)}\n`);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(parallel, wanted) }, (_, number) => lane(number)));
  const wallMs = performance.now() - started;
  const used = process.cpuUsage(cpu);
  const { errors: late = 0, ...seen } = (await after?.()) ?? {};
  return {
    ...rowOf(subject, operation, parallel, { latencies, errors: errors + late, wallMs }),
    generator_cpu: Math.round((used.user + used.system) / 10 / wallMs) / 100,
    samples_ms: latencies.map((ms) => Math.round(ms * 1000) / 1000),
    ...seen,
  };
}

/** Milliseconds that a part of a sample takes. */
export async function timed(part: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await part();
  return performance.now() - begun;
}

/** Makes a wrong result an error of the row. */
export function expectEqual(what: string, got: unknown, wanted: unknown): void {
  if (got !== wanted)
    throw new Error(`${what}: got ${String(got).slice(0, 120)}, expected ${String(wanted).slice(0, 120)}`);
}

function textOf(reason: unknown): string {
  return (reason instanceof Error ? reason.message : String(reason)).trim().slice(0, 400);
}
