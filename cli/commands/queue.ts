import { Argument } from "commander";
import { WhyAnswer } from "../../core/api.ts";
import { QUEUE_NAMES, type QueueName } from "../../core/jobs.ts";
import { EXIT } from "../exit-codes.ts";
import type { Registry, Work } from "../registry.ts";
import { openSession } from "../session.ts";

export function addQueue({ program, action }: Registry): void {
  const queue = program.command("queue").summary("pause a queue at all workers, or resume it");
  for (const [verb, summary] of [
    ["pause", "nothing more is taken from it; what runs goes on, and what comes waits in order"],
    ["resume", "workers take from it again"],
  ] as const)
    queue
      .command(verb)
      .summary(summary)
      .addArgument(new Argument("<name>", "which").choices(QUEUE_NAMES))
      .action(action(turn(verb)));
}

const turn =
  (verb: "pause" | "resume"): Work<{ readonly name: QueueName }> =>
  async (context, { name }) => {
    await using session = await openSession(context);
    const answer = await session.client.post(`/v1/queues/${name}/${verb}`, WhyAnswer, { signal: context.signal });
    context.terminal.print(context.terminal.json ? JSON.stringify(answer) : `${name}: ${answer.state}, ${answer.what}`);
    return EXIT.done;
  };
