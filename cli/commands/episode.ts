import * as z from "zod";
import { EpisodeAnswer } from "../../core/api.ts";
import type { CommandContext } from "../context.ts";
import { EXIT } from "../exit-codes.ts";
import { type Registry, wholeNumber } from "../registry.ts";
import { openSession } from "../session.ts";
import { table } from "../terminal.ts";

interface ListOptions {
  readonly run?: string;
  readonly state?: string;
  readonly outcome?: string;
  readonly task?: string;
  readonly framework?: string;
  readonly limit: number;
}

export function addEpisode({ program, action }: Registry): void {
  const episode = program.command("episode").alias("episodes").summary("look at episodes");
  episode
    .command("list", { isDefault: true })
    .summary("newest first")
    .option("--run <label>")
    .option("--state <state>", "queued, booting, ready, running, parked, verifying or done")
    .option("--outcome <outcome>", "ok, truncated, agent_error, policy_error, infra_error, verifier_error or cancelled")
    .option("--task <id>")
    .option("--framework <id>")
    .option("--limit <n>", "at most so many", wholeNumber(1, 1000), 50)
    .action(action(listEpisodes));
  episode.command("show").summary("its answer, as the API gives it").argument("<id>").action(action(showEpisode));
  episode
    .command("events")
    .summary("its trajectory, one event per line; what programs of the policy wrote is untrusted text")
    .argument("<id>")
    .action(action(listEvents));
}

const ListedEpisode = z.object({
  episode_id: z.string(),
  run: z.string().nullable(),
  state: z.string(),
  outcome: z.string().nullable(),
  reward: z.number().nullable(),
  environment: z.object({ task_id: z.string(), framework: z.string() }),
});
const EpisodeList = z.object({ items: z.array(z.looseObject(ListedEpisode.shape)), next: z.string().nullable() });

async function listEpisodes(context: CommandContext, { limit, ...filter }: ListOptions): Promise<number> {
  const { terminal, signal } = context;
  await using session = await openSession(context);
  const { run, state, outcome, task, framework } = filter;
  const { items } = await session.client.get("/v1/episodes", EpisodeList, {
    query: { run, state, outcome, task, framework, limit },
    signal,
  });
  if (terminal.json) for (const item of items) terminal.print(JSON.stringify(item));
  else {
    const rows = items.map(({ episode_id, state, outcome, reward, environment, run: of }) => [
      episode_id,
      environment.task_id,
      environment.framework,
      outcome ?? state,
      reward === null ? "-" : String(reward),
      of ?? "",
    ]);
    for (const line of table([["episode", "task", "framework", "outcome", "reward", "run"], ...rows]))
      terminal.print(line);
  }
  return items.length === 0 ? EXIT.nothingMatched : EXIT.done;
}

async function showEpisode(context: CommandContext, { id }: { readonly id: string }): Promise<number> {
  await using session = await openSession(context);
  const answer = await session.client.get(`/v1/episodes/${id}`, EpisodeAnswer, {
    query: { wait_s: 0 },
    signal: context.signal,
  });
  context.terminal.print(context.terminal.json ? JSON.stringify(answer) : JSON.stringify(answer, null, 2));
  return EXIT.done;
}

const EventPage = z.object({
  items: z.array(z.looseObject({ n: z.int(), at: z.int(), type: z.string() })),
  next: z.union([z.int(), z.string()]).nullable(),
});

async function listEvents(context: CommandContext, { id }: { readonly id: string }): Promise<number> {
  const { terminal, signal } = context;
  await using session = await openSession(context);
  let after: string | number | undefined;
  do {
    const page = await session.client.get(`/v1/episodes/${id}/trajectory`, EventPage, { query: { after }, signal });
    for (const event of page.items) terminal.print(terminal.json ? JSON.stringify(event) : eventLine(event));
    after = page.next ?? undefined;
  } while (after !== undefined);
  return EXIT.done;
}

/** Long enough to tell what happened; --json has it all. */
const LINE_CHARS = 200;

function eventLine({
  n,
  at,
  type,
  v: _v,
  episode_id: _id,
  term: _term,
  ...rest
}: {
  n: number;
  at: number;
  type: string;
  [key: string]: unknown;
}): string {
  const line = `${String(n).padStart(4)}  ${new Date(at).toISOString()}  ${type}  ${JSON.stringify(rest)}`;
  return line.length <= LINE_CHARS ? line : `${line.slice(0, LINE_CHARS - 1)}…`;
}
