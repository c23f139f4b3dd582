import { randomBytes } from "node:crypto";
import { loadConfig } from "../platform/config.ts";
import { FAULTS, NOT_INJECTED } from "./chaos/faults.ts";
import { planRows, selectFaults, summaryOf } from "./chaos/plan.ts";
import { brokenRow, type RowResult, runRow } from "./chaos/row.ts";
import { benchFlags, countOf, refuse } from "./flags.ts";
import { keep, machine } from "./report.ts";

/**
 * `polygym bench chaos`: a seeded workload over real processes, Redis and sandboxes; each row a fault of its own, in a
 * service of its own; then the invariants, by what is in the store and on the machine.
 */
const NAME = "chaos";
const flags = benchFlags(NAME, "What is lost, done twice or left over when anything dies.", {
  episodes: { type: "string", default: "10000", says: "episodes of all rows together" },
  seed: { type: "string", says: "makes the choices of the run that printed it again" },
  rows: { type: "string", default: "", says: "numbers or names of rows, commas between; all when not given" },
  list: { type: "boolean", says: "shows the rows" },
});
const seed = flags.seed ?? randomBytes(4).toString("hex");
const episodes = countOf(NAME, "episodes", flags.episodes);

if (flags.list) {
  for (const { row, name, expect } of FAULTS) process.stdout.write(`${row}\t${name}\t${expect}\n`);
  for (const { row, name, reason } of NOT_INJECTED) process.stdout.write(`${row}\t${name}\tnot injected: ${reason}\n`);
} else {
  process.exitCode = await measure();
}

function chosen(): ReturnType<typeof selectFaults> {
  try {
    return selectFaults(FAULTS, flags.rows);
  } catch (error) {
    if (error instanceof RangeError) refuse(NAME, error.message);
    throw error;
  }
}

async function measure(): Promise<number> {
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  say(`seed ${seed}: --seed ${seed} makes the same choices again`);
  const rows: RowResult[] = [];
  for (const { fault, episodes: share, times } of planRows(chosen(), episodes)) {
    const options = { fault, seed, episodes: share, times };
    const result = await runRow(options).catch((error: unknown) => brokenRow(options, error));
    rows.push(result);
    const { p50, max } = result.recovered_ms;
    say(
      `${result.row}\t${result.name}\t${result.episodes} episodes\t${result.injected} injected\t${result.recovered} went on after ${p50}/${max} ms\t${result.infra} infra\t${result.violations.length} violations\t${result.seconds} s`,
    );
    for (const [why, count] of Object.entries(result.failures)) say(`\t${count} ended by ${why.slice(0, 200)}`);
    for (const { invariant, kind, episode_id, what } of result.violations.slice(0, 20))
      say(`\t${invariant} ${kind} ${episode_id ?? ""} ${what}`);
  }
  const summary = summaryOf(rows);
  const document = { machine: machine(), seed, ...summary, not_injected: NOT_INJECTED };
  await keep(`${loadConfig().root}/bench/out/chaos.json`, document);
  process.stdout.write(`${flags.json ? JSON.stringify(document) : JSON.stringify(document, null, 2)}\n`);
  return summary.violations === 0 ? 0 : 1;
}
