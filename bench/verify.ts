import { loadConfig } from "../platform/config.ts";
import { benchFlags, countOf } from "./flags.ts";
import { startGym } from "./gym.ts";
import { keep, machine, type Row, rowOf, type Samples, sample, table } from "./report.ts";
import { BARE_PARALLEL, barePython } from "./verify/bare-python.ts";
import { importHumanEval, type Solved } from "./verify/humaneval.ts";

/**
 * `polygym bench verify`: verdicts per second of `POST /v1/verify`, every subject in a fresh sandbox, in a service of its own.
 * It judges right solutions, so every answer must be 1; any other is an error of the row. Beside it, before and after: starts
 * of the bare interpreter that the subjects run in.
 */
const NAME = "verify";
const flags = benchFlags(NAME, "Verdicts per second, every subject in a fresh sandbox.", {
  count: { type: "string", default: "300", says: "verdicts per row" },
  workers: { type: "string", default: "2", says: "worker processes" },
  file: { type: "string", says: "HumanEval.jsonl.gz: also judges gold of all its tasks" },
});
const BUILT_IN: Solved = {
  task: "demo/leap-year",
  files: {
    "solution.py": "def is_leap(year):\n    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)\n",
  },
};
const VERIFIERS = ["tests", "differential"];
const PARALLEL = [1, 8];
/** The first ones also make bases and judges, and let Node compile what is often run. */
const WARM_UP = 100;

const count = countOf(NAME, "count", flags.count);
const config = loadConfig();
const rows: Row[] = [];
const bare: Samples[] = [];

await using gym = await startGym({ workers: countOf(NAME, "workers", flags.workers) });
const judge = async (verifier: string, { task, files }: Solved): Promise<void> => {
  const body = { task_id: task, verifiers: [verifier], submission: { files } };
  const answer = (await gym.client.request("POST", "/v1/verify", body)) as { reward: number | null }; // the server's own schema
  if (answer.reward !== 1) throw new Error(`${task}: ${verifier} answered ${answer.reward} for the right solution`);
};
const measure = async (verifier: string, operation: string, solved: readonly Solved[], parallel: number) => {
  const times = Math.max(1, Math.ceil(count / solved.length)) * solved.length;
  const work = (index: number) => judge(verifier, solved[index % solved.length] ?? BUILT_IN);
  const row = rowOf("polygym", operation, parallel, await sample(times, parallel, work));
  rows.push(row);
  return row.per_s;
};

bare.push(await barePython());
for (const verifier of VERIFIERS) {
  await sample(WARM_UP, 8, () => judge(verifier, BUILT_IN));
  for (const parallel of PARALLEL) await measure(verifier, verifier, [BUILT_IN], parallel);
}
let humaneval: number | null = null;
if (flags.file !== undefined) {
  const solved = await importHumanEval(gym, flags.file);
  await sample(solved.length, 8, (index) => judge("tests", solved[index] ?? BUILT_IN));
  humaneval = await measure("tests", `tests of HumanEval (${solved.length})`, solved, 8);
}
bare.push(await barePython());

const both: Samples = {
  latencies: bare.flatMap(({ latencies }) => latencies),
  errors: bare.reduce((sum, { errors }) => sum + errors, 0),
  wallMs: bare.reduce((sum, { wallMs }) => sum + wallMs, 0),
};
const peer = rowOf("python3 -c pass", "bare start", BARE_PARALLEL, both);
rows.push(peer);
const best = (verifier: string) =>
  Math.max(...rows.filter((row) => row.operation === verifier).map((row) => row.per_s));
const share = (perS: number) => Math.round((perS / peer.per_s) * 100) / 100;
const document = {
  machine: machine(),
  tests_per_s: best("tests"),
  differential_per_s: best("differential"),
  humaneval_tests_per_s: humaneval,
  bare_python_per_s: peer.per_s,
  ratios: { tests_vs_bare: share(best("tests")), humaneval_vs_bare: humaneval === null ? null : share(humaneval) },
  rows,
};
await keep(`${config.root}/bench/out/verify.json`, document);
process.stdout.write(flags.json ? `${JSON.stringify(document)}\n` : `${table(rows)}\n`);
