import { parseArgs } from "node:util";
import { loadConfig } from "../platform/config.ts";
import { gymClient } from "./client.ts";
import { keep, machine, type Row, rowOf, sample, table } from "./report.ts";

/**
 * `polygym bench verify`: verdicts per second of `POST /v1/verify`, one verifier at a time, every subject in a fresh sandbox.
 * It judges the right solution of a small built-in task, so every answer must be 1; any other is an error of the row.
 */
const { values: flags } = parseArgs({
  options: { json: { type: "boolean" }, count: { type: "string", default: "300" } },
});
const TASK = "demo/leap-year";
const SOLUTION = "def is_leap(year):\n    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)\n";
const VERIFIERS = ["tests", "differential"];
const PARALLEL = [1, 8];
/** The first ones also make the base and warm the page cache. */
const WARM_UP = 10;

const config = loadConfig();
const client = gymClient(config.url ?? `http://${config.host}:${config.port}`, config.token ?? "");

async function judge(verifier: string): Promise<void> {
  const body = { task_id: TASK, verifiers: [verifier], submission: { files: { "solution.py": SOLUTION } } };
  const answer = (await client.request("POST", "/v1/verify", body)) as { reward: number | null }; // the server's own schema
  if (answer.reward !== 1) throw new Error(`${verifier} answered ${answer.reward} for the right solution`);
}

const rows: Row[] = [];
for (const verifier of VERIFIERS) {
  await sample(WARM_UP, 4, () => judge(verifier));
  for (const parallel of PARALLEL)
    rows.push(rowOf("polygym", verifier, parallel, await sample(Number(flags.count), parallel, () => judge(verifier))));
}
const best = (verifier: string) =>
  Math.max(...rows.filter((row) => row.operation === verifier).map((row) => row.per_s));
const document = { machine: machine(), tests_per_s: best("tests"), differential_per_s: best("differential"), rows };
await keep(`${config.root}/bench/out/verify.json`, document);
process.stdout.write(flags.json ? `${JSON.stringify(document)}\n` : `${table(rows)}\n`);
