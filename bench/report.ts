import { mkdir, writeFile } from "node:fs/promises";
import { arch, cpus, release, totalmem } from "node:os";
import { dirname } from "node:path";

/** One measured operation: latencies in ms, errors apart. */
export interface Row {
  readonly subject: string;
  readonly operation: string;
  readonly parallel: number;
  readonly count: number;
  readonly errors: number;
  readonly p50_ms: number;
  readonly p95_ms: number;
  readonly p99_ms: number;
  readonly per_s: number;
}

export const machine = () => ({
  cores: cpus().length,
  model: cpus()[0]?.model ?? "unknown",
  arch: arch(),
  kernel: release(),
  memory_gb: Math.round(totalmem() / 2 ** 30),
  node: process.version,
});

/** Nearest-rank percentile of unsorted values; null of nothing is NaN, so that an empty row shows. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return (
    Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN) * 1000) / 1000
  );
}

export interface Samples {
  readonly latencies: readonly number[];
  readonly errors: number;
  readonly wallMs: number;
}

export function rowOf(
  subject: string,
  operation: string,
  parallel: number,
  { latencies, errors, wallMs }: Samples,
): Row {
  return {
    subject,
    operation,
    parallel,
    count: latencies.length,
    errors,
    p50_ms: percentile(latencies, 0.5),
    p95_ms: percentile(latencies, 0.95),
    p99_ms: percentile(latencies, 0.99),
    per_s: Math.round((latencies.length / wallMs) * 10_000) / 10,
  };
}

/** Runs `work` for 0..count-1 with at most `parallel` at a time; an exception is an error of the row. */
export async function sample(
  count: number,
  parallel: number,
  work: (index: number) => Promise<void>,
): Promise<Samples> {
  const latencies: number[] = [];
  let errors = 0;
  let next = 0;
  const started = performance.now();
  const lane = async () => {
    for (let index = next++; index < count; index = next++) {
      const begun = performance.now();
      try {
        await work(index);
        latencies.push(performance.now() - begun);
      } catch (error) {
        errors++;
        if (errors === 1)
          process.stderr.write(`first error: ${error instanceof Error ? error.message : String(error)}\n`);
      }
    }
  };
  await Promise.all(Array.from({ length: parallel }, lane));
  return { latencies, errors, wallMs: performance.now() - started };
}

/** Keeps the raw document beside the printed one. */
export async function keep(path: string, document: unknown): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `${JSON.stringify(document, null, 1)}\n`);
}

export function table(rows: readonly Row[]): string {
  const head = ["subject", "operation", "parallel", "count", "errors", "p50 ms", "p95 ms", "p99 ms", "per s"];
  const body = rows.map((r) =>
    [r.subject, r.operation, r.parallel, r.count, r.errors, r.p50_ms, r.p95_ms, r.p99_ms, r.per_s].map(String),
  );
  const widths = head.map((h, i) => Math.max(h.length, ...body.map((line) => line[i]?.length ?? 0)));
  return [head, ...body].map((line) => line.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ")).join("\n");
}
