import * as z from "zod";
import { BackgroundJob, finishJob } from "../background-job.ts";
import type { CommandContext } from "../context.ts";
import { CommandError, EXIT } from "../exit-codes.ts";
import type { Registry } from "../registry.ts";
import { openSession } from "../session.ts";
import { table } from "../terminal.ts";

interface ValidateOptions {
  readonly glob: string;
  readonly framework?: string;
  readonly verifier?: string;
}

const ValidationReport = z.object({
  tasks: z.int(),
  valid: z.int(),
  untouched_passed: z.int(),
  wall_s: z.number(),
  problems: z.array(
    z.object({
      task: z.string(),
      framework: z.string(),
      policy: z.string(),
      variant: z.string(),
      episode_id: z.string(),
      why: z.string(),
    }),
  ),
  unavailable: z.array(z.object({ task: z.string(), why: z.string() })),
  unsound: z.array(z.object({ task: z.string(), why: z.string() })),
});

export function addValidate({ program, action }: Registry): void {
  program
    .command("validate")
    .summary("prove tasks: gold passes, doing nothing and known cheats do not")
    .description(
      "Proves tasks: the gold solution passes every verifier through every framework; doing nothing and every known cheat earn nothing.",
    )
    .argument("<glob>", "over task ids, e.g. 'humaneval/*'")
    .option("--framework <ids>", "frameworks, separated by commas [all]")
    .option("--verifier <ids>", "verifiers that count, separated by commas [each task's own list]")
    .action(action(validate));
}

const list = (text: string | undefined): string[] | undefined => text?.split(",").map((part) => part.trim());

async function validate(context: CommandContext, { glob, framework, verifier }: ValidateOptions): Promise<number> {
  const { terminal, signal } = context;
  await using session = await openSession(context);
  const body = { tasks: [glob], frameworks: list(framework), verifiers: list(verifier) };
  const started = await session.client.post("/v1/validations", BackgroundJob, { body, signal });
  const job = await finishJob(session.client, "/v1/validations", started, {
    signal,
    onProgress: ({ done, total }) => terminal.progress(`${done}${total === null ? "" : `/${total}`} episodes`),
  });
  terminal.progress("");
  const { problems, unavailable, unsound, ...summary } = ValidationReport.parse(job.report);
  if (summary.tasks === 0)
    throw new CommandError(EXIT.nothingMatched, `no task matches ${glob}`, "GET /v1/tasks lists them");
  const lines = [
    ...problems.map((p) => [
      p.task,
      p.framework,
      p.variant === p.policy ? p.policy : `${p.policy} ${p.variant}`,
      p.why,
      `${session.url}/episodes/${p.episode_id}`,
    ]),
    ...unavailable.map((u) => [u.task, "", "", `unavailable: ${u.why}`, ""]),
    ...unsound.map((u) => [u.task, "", "", `unsound: ${u.why}`, ""]),
  ];
  for (const line of table(lines)) terminal.note(line);
  if (terminal.json) terminal.print(JSON.stringify(summary));
  else
    terminal.print(
      `${summary.valid} of ${summary.tasks} tasks valid, ${summary.untouched_passed} passed untouched, ${summary.wall_s} s`,
    );
  return summary.valid === summary.tasks && summary.untouched_passed === 0 ? EXIT.done : EXIT.failed;
}
