import type { Command } from "commander";
import * as z from "zod";
import { Presence } from "../../core/mail.ts";
import type { Client } from "../client.ts";
import { CommandError, EXIT } from "../exit-codes.ts";
import { type Registry, type Work, wholeNumber } from "../registry.ts";
import { openSession } from "../session.ts";
import { until } from "../until.ts";

interface DrainOptions {
  readonly id?: string;
  readonly timeout: number;
}

/** A step runs for as long as its task lets it; nobody waits for longer than this by default. */
const DEFAULT_TIMEOUT_S = 600;

/** `polygym worker drain [ID]` and `polygym worker resume [ID]`. */
export function addDrain(worker: Command, { action }: Registry): void {
  worker
    .command("drain")
    .summary("take nothing new, park what is idle, end what runs; then it can be stopped, or resumed")
    .description(
      "Tells a worker to take nothing new, to park its idle episodes and to end what runs, and waits until it holds nothing. It stays so, without work, until its process is stopped or `polygym worker resume` is called: its episodes go on at other workers with their next step.",
    )
    .argument("[id]", "which worker, as polygym top shows it [every one]")
    .option("--timeout <seconds>", "longest wait until it holds nothing", wholeNumber(1, 86_400), DEFAULT_TIMEOUT_S)
    .action(action(drain));
  worker
    .command("resume")
    .summary("take jobs again after a drain")
    .argument("[id]", "which worker [every one]")
    .action(action(resume));
}

const Workers = z.object({ items: z.array(Presence) });

const workersOf = async (client: Client, id: string | undefined): Promise<Presence[]> => {
  const { items } = await client.get("/v1/workers", Workers);
  const chosen = items.filter((worker) => id === undefined || worker.id === id);
  if (chosen.length > 0) return chosen;
  throw new CommandError(
    EXIT.nothingMatched,
    id === undefined ? "no worker is alive" : `there is no worker ${id}`,
    "polygym top --once lists those that live",
  );
};

const drain: Work<DrainOptions> = async (context, { id, timeout }) => {
  const { terminal, signal } = context;
  await using session = await openSession(context);
  const { client } = session;
  const workers = await workersOf(client, id);
  await Promise.all(workers.map((worker) => client.post(`/v1/workers/${worker.id}/drain`, Presence, { signal })));
  const ids = new Set(workers.map((worker) => worker.id));
  const held = async () => {
    const { items } = await client.get("/v1/workers", Workers, { signal });
    const busy = items.filter((worker) => ids.has(worker.id) && (worker.state === "running" || worker.jobs > 0));
    terminal.progress(busy.map((worker) => `${worker.id}: ${worker.live} episodes, ${worker.jobs} jobs`).join(", "));
    return busy;
  };
  await until(async () => (await held()).length === 0, {
    deadlineMs: timeout * 1_000,
    signal,
    otherwise: () =>
      new CommandError(
        EXIT.failed,
        `still at work after ${timeout} s`,
        "wait longer, or stop it: it parks within 30 s",
      ),
  });
  for (const worker of workers)
    terminal.print(
      terminal.json
        ? JSON.stringify({ id: worker.id, host: worker.host, pid: worker.pid, state: "draining", live: 0 })
        : `${worker.id} on ${worker.host} (process ${worker.pid}) holds nothing: stop it, or polygym worker resume`,
    );
  return EXIT.done;
};

const resume: Work<{ readonly id?: string }> = async (context, { id }) => {
  const { terminal, signal } = context;
  await using session = await openSession(context);
  for (const { id: worker } of await workersOf(session.client, id)) {
    const said = await session.client.post(`/v1/workers/${worker}/resume`, Presence, { signal });
    terminal.print(terminal.json ? JSON.stringify(said) : `${said.id} is ${said.state}`);
  }
  return EXIT.done;
};
