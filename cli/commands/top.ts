import { setTimeout as wait } from "node:timers/promises";
import * as z from "zod";
import { Presence } from "../../core/mail.ts";
import type { Client } from "../client.ts";
import type { CommandContext } from "../context.ts";
import { EXIT } from "../exit-codes.ts";
import { type Registry, wholeNumber } from "../registry.ts";
import { openSession } from "../session.ts";
import { type Terminal, table } from "../terminal.ts";

interface TopOptions {
  readonly once?: boolean;
  readonly every: number;
}

export function addTop({ program, action }: Registry): void {
  program
    .command("top")
    .summary("queues, workers, slots and failures, live")
    .option("--once", "one look")
    .option("--every <seconds>", "between two looks", wholeNumber(1, 3_600), 2)
    .action(action(top));
}

const Capacity = z.object({
  workers: z.int(),
  live: z.int(),
  capacity: z.int(),
  free: z.int(),
  sandboxes: z.int(),
  queues: z.record(z.string(), z.record(z.string(), z.int())),
});
const Workers = z.object({ items: z.array(Presence) });
const Counted = z.object({
  counts: z.object({ total: z.int(), state: z.record(z.string(), z.int()), outcome: z.record(z.string(), z.int()) }),
});

/** Outcomes that say something went wrong, worst for us first. */
const FAILURES = ["infra_error", "verifier_error", "policy_error", "agent_error", "cancelled"];

type Look = Awaited<ReturnType<typeof look>>;

async function look(client: Client, signal: AbortSignal) {
  const [slots, { items: workers }, { counts }] = await Promise.all([
    client.get("/v1/capacity", Capacity, { signal }),
    client.get("/v1/workers", Workers, { signal }),
    client.get("/v1/episodes", Counted, { query: { limit: 1 }, signal }),
  ]);
  const { queues, ...rest } = slots;
  const failures = Object.fromEntries(FAILURES.map((outcome) => [outcome, counts.outcome[outcome] ?? 0]));
  return { at: Date.now(), slots: rest, queues, episodes: counts, failures, workers };
}

async function top(context: CommandContext, { once, every }: TopOptions): Promise<number> {
  const { terminal, signal } = context;
  await using session = await openSession(context);
  for (;;) {
    const seen = await look(session.client, signal);
    if (terminal.json) terminal.print(JSON.stringify(seen));
    else show(terminal, session.url, seen, once ?? false);
    if (once) return EXIT.done;
    await wait(every * 1_000, undefined, { signal });
  }
}

/** From the top left, and nothing of the look before. */
const REDRAW = "\u001b[H\u001b[J";

function show(terminal: Terminal, url: string, seen: Look, once: boolean): void {
  const { color } = terminal;
  const lines = [
    `${color.bold("polygym")} ${url}  ${new Date(seen.at).toISOString()}`,
    `places ${seen.slots.live} of ${seen.slots.capacity} taken, ${seen.slots.free} free, ${seen.slots.sandboxes} sandboxes`,
    `episodes ${numbers(seen.episodes.state)}`,
    `ended ${numbers(seen.episodes.outcome)}`,
    `failures ${numbers(seen.failures)}`,
    "",
    ...table([
      ["queue", "waiting", "running", "delayed", "failed"],
      ...Object.entries(seen.queues).map(([queue, of]) => [
        queue,
        ...["waiting", "active", "delayed", "failed"].map((state) => String(of[state] ?? 0)),
      ]),
    ]),
    "",
    ...table([
      ["worker", "host", "state", "live", "sandboxes", "rss", "loop p99"],
      ...seen.workers.map((worker) => [
        worker.id,
        worker.host,
        worker.state,
        `${worker.live}/${worker.capacity}`,
        String(worker.sandboxes),
        `${Math.round(worker.rss_bytes / 1_048_576)} MB`,
        `${worker.loop_p99_ms.toFixed(1)} ms`,
      ]),
    ]),
  ];
  const inPlace = !once && process.stdout.isTTY;
  terminal.print(`${inPlace ? REDRAW : ""}${lines.join("\n")}`);
}

const numbers = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${name} ${count}`)
    .join(" · ") || "none";
