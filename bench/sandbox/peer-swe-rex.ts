import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import * as z from "zod";
import { rowOf } from "../report.ts";
import { type Measured, type Plan, type Results, recorder } from "./recorder.ts";

const PACKAGE = "swe-rex==1.4.0";
const PYTHON = "/usr/bin/python3";
const INSTALL_MS = 180_000;
const SUBJECT = "swe-rex";

const Line = z.object({
  operation: z.string(),
  parallel: z.int(),
  samples_ms: z.array(z.number()),
  errors: z.int(),
  first_error: z.string().nullable(),
  wall_ms: z.number(),
  cpu_ms: z.number(),
});

/**
 * SWE-ReX as its authors use it on one machine: LocalDeployment, commands in a bash session (pexpect). It isolates nothing;
 * a container around it would only add to these numbers.
 */
export async function measureSweRex(plan: Plan): Promise<Results> {
  const rec = recorder(SUBJECT, plan);
  const rows: Measured[] = [];
  const folder = await mkdtemp(join(tmpdir(), "polygym-swe-rex-"));
  try {
    await rec.attempt("all", async () => {
      const run = promisify(execFile);
      await run(PYTHON, ["-m", "venv", folder], { timeout: INSTALL_MS, signal: plan.signal });
      const pip = ["install", "-q", "--disable-pip-version-check", PACKAGE];
      await run(join(folder, "bin/pip"), pip, { timeout: INSTALL_MS, signal: plan.signal });
      rows.push(...(await measured(join(folder, "bin/python"), plan)));
    });
    return { rows, missing: rec.results.missing };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function measured(python: string, plan: Plan): Promise<Measured[]> {
  const script = join(import.meta.dirname, "swe-rex.py");
  const argv = [script, String(plan.budgetMs / 1000), plan.quick ? "0.1" : "1"];
  const child = spawn(python, argv, { stdio: ["ignore", "pipe", "ignore"], signal: plan.signal });
  const ended = once(child, "close");
  const rows: Measured[] = [];
  for await (const line of createInterface(child.stdout)) {
    if (!line.startsWith("{")) continue; // its own log
    const { operation, parallel, samples_ms, errors, first_error, wall_ms, cpu_ms } = Line.parse(JSON.parse(line));
    if (first_error !== null) process.stderr.write(`${SUBJECT} ${operation}: ${first_error}\n`);
    const row = rowOf(SUBJECT, operation, parallel, { latencies: samples_ms, errors, wallMs: wall_ms });
    rows.push({ ...row, generator_cpu: Math.round((cpu_ms / wall_ms) * 100) / 100, samples_ms });
    process.stderr.write(`${SUBJECT} ${operation}: ${row.p50_ms} ms, ${row.count} samples, ${errors} errors\n`);
  }
  const [code] = await ended;
  if (code !== 0) throw new Error(`its program ended with ${code} after ${rows.length} operations`);
  return rows;
}
