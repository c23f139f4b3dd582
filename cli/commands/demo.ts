import { setTimeout as wait } from "node:timers/promises";
import * as z from "zod";
import { cheatsOf, isServed, type MatrixRow, selectRows } from "../catalog.ts";
import type { Client } from "../client.ts";
import type { CommandContext } from "../context.ts";
import { cellState, type DemoReport, type DemoResult, demoReport, isAsExpected } from "../demo-report.ts";
import { CommandError, EXIT } from "../exit-codes.ts";
import { loginLink } from "../login-link.ts";
import type { Registry } from "../registry.ts";
import { type FinishedRollout, type Rollout, runRollouts } from "../rollouts.ts";
import { type SandboxOption, sandboxOption, sandboxOverrides } from "../sandbox-option.ts";
import { openSession, type Session } from "../session.ts";
import { type Terminal, table } from "../terminal.ts";
import { stayUp } from "./up.ts";

/** Episodes of the demo under way at once: enough to keep two cores busy. */
const PARALLEL = 16;
/** Sandboxes are closed after the verdict has been told; workers say so every second. */
const SETTLE_DEADLINE_MS = 15_000;
const SETTLE_LOOK_MS = 250;

interface DemoOptions extends SandboxOption {
  readonly once?: boolean;
}

export function addDemo({ program, action }: Registry): void {
  program
    .command("demo")
    .summary("run the built-in tasks through every framework and verifier, then stay up as a service")
    .description(
      "Runs the built-in tasks through every framework with the scripted policies gold (must pass), nothing and every known cheat (must not), shows what each verifier said, and stays up as a service.",
    )
    .option("--once", "end after the demo")
    .addOption(sandboxOption())
    .action(action(demo, sandboxOverrides));
}

async function demo(context: CommandContext, options: DemoOptions): Promise<number> {
  const { terminal, signal } = context;
  const startedAt = performance.now();
  await using session = await openSession(context);
  if (session.embedded === null && options.sandbox !== undefined)
    throw new CommandError(
      EXIT.usage,
      `${session.url} is up already, with sandboxes of its own: --sandbox cannot change them`,
      "stop it first, or leave --sandbox out",
    );
  const rows = await selectRows(session.client, { tasks: "demo/*", frameworks: "*" });
  const rollouts = await planRollouts(session.client, rows);
  for (const line of unavailable(rows)) terminal.note(line);
  const progress = progressLine(terminal, rollouts.length, startedAt);
  const run = `demo-${Date.now()}`;
  const finished = await runRollouts(rollouts, {
    client: session.client,
    run,
    parallel: PARALLEL,
    signal,
    onFinished: progress,
    onInexpressible: (rollout, reason) => terminal.note(`left out: cheat ${rollout.variant}: ${reason}`),
  });
  terminal.progress("");
  const result = {
    rows,
    finished,
    sandboxesLeft: await sandboxesLeft(session.client, signal),
    wallMs: performance.now() - startedAt,
  };
  const report = demoReport(result);
  if (terminal.json) terminal.print(JSON.stringify(report));
  else
    await show(context, session, { run, result, report, staysUp: options.once !== true || session.embedded === null });
  if (options.once !== true && session.embedded !== null) await stayUp(context, session.embedded);
  return isAsExpected(report) ? EXIT.done : report.masked > 0 ? EXIT.infra : EXIT.failed;
}

async function planRollouts(client: Client, rows: readonly MatrixRow[]): Promise<Rollout[]> {
  const served = rows.filter(isServed);
  const cheats = new Map<string, readonly string[]>();
  for (const task of new Set(served.map((row) => row.task_id))) cheats.set(task, await cheatsOf(client, task));
  return served.flatMap(({ task_id: task, framework }): Rollout[] => [
    { task, framework, script: "gold" },
    { task, framework, script: "nothing" },
    ...(cheats.get(task) ?? []).map((variant): Rollout => ({ task, framework, script: "cheat", variant })),
  ]);
}

function* unavailable(rows: readonly MatrixRow[]): Generator<string> {
  for (const row of rows)
    if (!isServed(row)) yield `not served: ${row.task_id} in ${row.framework}: ${row.reason ?? "no reason given"}`;
}

function progressLine(terminal: Terminal, total: number, startedAt: number) {
  const counts = { gold: 0, nothing: 0, cheat: 0 };
  let masked = 0;
  return ({ rollout, answer }: FinishedRollout, count: number) => {
    counts[rollout.script] += 1;
    if (answer.reward === null) masked += 1;
    const elapsed = ((performance.now() - startedAt) / 1000).toFixed(0);
    terminal.progress(
      `${count}/${total} episodes  ${elapsed} s  gold ${counts.gold}  nothing ${counts.nothing}  cheat ${counts.cheat}  failed by us ${masked}  last ${rollout.task} ${rollout.framework}`,
    );
  };
}

const Workers = z.object({ items: z.array(z.object({ sandboxes: z.int() })) });

/** Sandboxes that workers still hold once they had time to close them. */
async function sandboxesLeft(client: Client, signal: AbortSignal): Promise<number> {
  const end = performance.now() + SETTLE_DEADLINE_MS;
  for (;;) {
    const { items } = await client.get("/v1/workers", Workers, { signal });
    const left = items.reduce((sum, worker) => sum + worker.sandboxes, 0);
    if (left === 0 || performance.now() > end) return left;
    await wait(SETTLE_LOOK_MS, undefined, { signal });
  }
}

interface Shown {
  /** Whether somebody still answers when the command has printed its links. */
  readonly staysUp: boolean;
  readonly run: string;
  readonly result: DemoResult;
  readonly report: DemoReport;
}

async function show({ terminal }: CommandContext, session: Session, shown: Shown): Promise<void> {
  const { result, report, run } = shown;
  for (const line of episodeLinks(session.url, result.finished)) terminal.print(line);
  terminal.print("");
  for (const line of matrixTable(terminal, result)) terminal.print(line);
  terminal.print("");
  terminal.print(`gold     ${report.gold.passed} of ${report.gold.episodes} passed every verifier`);
  terminal.print(`nothing  ${report.nothing.passed} of ${report.nothing.episodes} earned a reward (none should)`);
  terminal.print(`cheats   ${report.cheat.passed} of ${report.cheat.episodes} earned a reward (none should)`);
  terminal.print(
    `${report.cells} cells, ${report.masked} episodes failed by us, ${report.sandboxes_left} sandboxes left, ${report.wall_s} s`,
  );
  terminal.print("");
  if (shown.staysUp) {
    terminal.print(
      `log in   ${await loginLink(session.client, "/docs")}   (works once, in a browser; then the links above do)`,
    );
    terminal.print(`queues   ${session.url}/ops/queues`);
  } else terminal.print("links    answer while the service is up: polygym up");
  terminal.print(`next     polygym episode list --run ${run}   ·   polygym run 'demo/*' --policy cheat`);
  terminal.print("         README.md: an episode of your own in 12 lines of curl, Python or Node");
}

function matrixTable({ color }: Terminal, { rows, finished }: DemoResult): string[] {
  const tasks = [...new Set(rows.map((row) => row.task_id))].toSorted();
  const frameworks = [...new Set(rows.map((row) => row.framework))].toSorted();
  const verifiers = [...new Set(rows.flatMap((row) => row.verifiers))].toSorted();
  const marks = { right: color.green("✓"), wrong: color.red("✗"), masked: color.yellow("?"), absent: color.dim("·") };
  const columns = frameworks.flatMap((framework) => verifiers.map((verifier) => ({ framework, verifier })));
  const head = ["", ...columns.map(({ framework, verifier }) => (verifier === verifiers[0] ? framework : ""))];
  const subhead = ["task", ...columns.map(({ verifier }) => verifier)];
  const body = tasks.map((task) => [
    task,
    ...columns.map(({ framework, verifier }) => {
      const row = rows.find((candidate) => candidate.task_id === task && candidate.framework === framework);
      return marks[cellState(row, verifier, finished)];
    }),
  ]);
  const legend = `${marks.right} gold passes, nothing and cheats earn nothing   ${marks.wrong} not so   ${marks.masked} failed by us   ${marks.absent} does not apply`;
  return [...table([head, subhead, ...body]), legend];
}

function episodeLinks(url: string, finished: readonly FinishedRollout[]): string[] {
  return table(
    finished.map(({ rollout, answer }) => [
      rollout.task,
      rollout.framework,
      rollout.variant === undefined ? rollout.script : `${rollout.script} ${rollout.variant}`,
      answer.reward === null ? `no reward (${answer.outcome})` : String(answer.reward),
      `${url}/episodes/${answer.episode_id}`,
    ]),
  );
}
