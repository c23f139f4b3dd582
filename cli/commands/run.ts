import { Option } from "commander";
import { SCRIPTS, type ScriptName } from "../../core/policy.ts";
import { cheatsOf, isServed, type MatrixRow, selectRows } from "../catalog.ts";
import type { Client } from "../client.ts";
import type { CommandContext } from "../context.ts";
import { EXIT } from "../exit-codes.ts";
import { type Registry, wholeNumber } from "../registry.ts";
import { type FinishedRollout, isMasked, passed, type Rollout, runRollouts } from "../rollouts.ts";
import { openSession } from "../session.ts";
import { table } from "../terminal.ts";

interface RunOptions {
  readonly selector: string;
  readonly framework: string;
  readonly policy: ScriptName;
  readonly attempts: number;
  readonly parallel: number;
  readonly run?: string;
}

export function addRun({ program, action }: Registry): void {
  program
    .command("run")
    .summary("run tasks with a scripted policy")
    .description(
      "Runs the selected tasks with a scripted policy through the selected frameworks. Succeeds when gold passes, or when nothing and cheats earn no reward.",
    )
    .argument("[selector]", "glob over task ids, e.g. 'demo/*'", "demo/*")
    .option("--framework <globs>", "frameworks, separated by commas", "*")
    .addOption(new Option("--policy <name>", "who acts").choices(SCRIPTS).default("gold"))
    .option("-k, --attempts <n>", "episodes per task and framework", wholeNumber(1, 1000), 1)
    .option("-n, --parallel <n>", "episodes under way at once", wholeNumber(1, 1000), 16)
    .option("--run <label>", "label of the run [made up]")
    .addHelpText("after", "\nExample: polygym run 'demo/*' --framework 'anthropic.*' --policy cheat")
    .action(action(run));
}

async function run(context: CommandContext, options: RunOptions): Promise<number> {
  const { terminal, signal } = context;
  await using session = await openSession(context);
  const rows = await selectRows(session.client, { tasks: options.selector, frameworks: options.framework });
  const rollouts = await plan(session.client, rows, options);
  const label = options.run ?? `run-${Date.now()}`;
  const finished = await runRollouts(rollouts, {
    client: session.client,
    run: label,
    parallel: options.parallel,
    signal,
    onInexpressible: (rollout, reason) => terminal.note(`left out: cheat ${rollout.variant}: ${reason}`),
    onFinished: (one, count) => {
      if (terminal.json) terminal.print(JSON.stringify(eventOf(one)));
      terminal.progress(`${count}/${rollouts.length}  ${one.rollout.task} ${one.rollout.framework}`);
    },
  });
  terminal.progress("");
  const wrong = finished.filter((one) => !isRight(one));
  const masked = finished.filter(({ answer }) => isMasked(answer));
  const counts = {
    event: "done",
    run: label,
    episodes: finished.length,
    as_expected: finished.length - wrong.length,
    masked: masked.length,
  };
  if (terminal.json) terminal.print(JSON.stringify(counts));
  else {
    for (const line of table(finished.map((one) => rowOf(session.url, one)))) terminal.print(line);
    terminal.print(
      `${counts.as_expected} of ${counts.episodes} as expected, ${counts.masked} failed by us   ·   polygym episode list --run ${label}`,
    );
  }
  if (masked.length > 0) return EXIT.infra;
  return wrong.length > 0 ? EXIT.failed : EXIT.done;
}

async function plan(client: Client, rows: readonly MatrixRow[], { policy, attempts }: RunOptions): Promise<Rollout[]> {
  const rollouts: Rollout[] = [];
  for (const { task_id: task, framework } of rows.filter(isServed)) {
    const variants = policy === "cheat" ? await cheatsOf(client, task) : [undefined];
    for (const variant of variants)
      for (let i = 0; i < attempts; i++) rollouts.push({ task, framework, script: policy, variant });
  }
  return rollouts;
}

const isRight = ({ rollout, answer }: FinishedRollout): boolean =>
  rollout.script === "gold" ? passed(answer) : answer.reward === 0;

const eventOf = ({ rollout, answer }: FinishedRollout) => ({
  event: "episode",
  episode_id: answer.episode_id,
  task: rollout.task,
  framework: rollout.framework,
  policy: rollout.script,
  ...(rollout.variant === undefined ? {} : { variant: rollout.variant }),
  outcome: answer.outcome,
  stop_reason: answer.stop_reason,
  reward: answer.reward,
  verdicts: answer.verdicts.map(({ verifier, role, status, score }) => ({ verifier, role, status, score })),
});

function rowOf(url: string, { rollout, answer }: FinishedRollout): string[] {
  const verdicts = answer.verdicts.map(({ verifier, score }) => `${verifier} ${score ?? "-"}`).join(", ");
  const reward = answer.reward === null ? `no reward (${answer.outcome})` : String(answer.reward);
  return [
    rollout.task,
    rollout.framework,
    rollout.variant ?? rollout.script,
    reward,
    verdicts,
    `${url}/episodes/${answer.episode_id}`,
  ];
}
