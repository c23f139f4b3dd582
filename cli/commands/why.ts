import { WhyAnswer } from "../../core/api.ts";
import { QUEUE_NAMES } from "../../core/jobs.ts";
import type { CommandContext } from "../context.ts";
import { EXIT } from "../exit-codes.ts";
import type { Registry } from "../registry.ts";
import { openSession } from "../session.ts";

export function addWhy({ program, action }: Registry): void {
  program
    .command("why")
    .summary("why an episode or a queue is not further, and what to do")
    .argument("<subject>", `an episode's id, or a queue: ${QUEUE_NAMES.join(", ")}`)
    .action(action(why));
}

async function why(context: CommandContext, { subject }: { readonly subject: string }): Promise<number> {
  const { terminal, signal } = context;
  await using session = await openSession(context);
  const isQueue = QUEUE_NAMES.some((name) => name === subject);
  const path = isQueue ? `/v1/queues/${subject}/why` : `/v1/episodes/${encodeURIComponent(subject)}/why`;
  const answer = await session.client.get(path, WhyAnswer, { signal });
  if (terminal.json) {
    terminal.print(JSON.stringify(answer));
    return EXIT.done;
  }
  const reason = answer.pending_reason === null ? "" : ` (${answer.pending_reason})`;
  const since = answer.since === null ? "" : ` since ${new Date(answer.since).toISOString()}`;
  const worker = answer.worker === null ? "" : ` on ${answer.worker}`;
  terminal.print(`${subject}: ${answer.state}${reason}${since}${worker}`);
  terminal.print(`  ${answer.what}`);
  terminal.print(`  ${answer.hint}`);
  return EXIT.done;
}
