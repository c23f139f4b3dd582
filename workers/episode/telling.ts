import type { StepObserved, StepRefusal } from "../../core/mail.ts";
import type { OutputChunk } from "../../core/sandbox.ts";

import type { Asker, StepMail } from "./conversation.ts";
import type { ActorParts } from "./session.ts";

/** Progress text of one notice. */
const MAX_PROGRESS_CHARS = 4_000;
const PROGRESS_EVERY_MS = 1_000;

type Teller = Pick<ActorParts, "deps" | "record" | "journal">;

const notice = ({ deps, record, journal }: Teller) => ({
  type: "notice" as const,
  episode_id: record.episode_id,
  worker: deps.workerId,
  term: record.term,
  cursor: journal.last,
});

/** Answers those that wait for a step. */
export async function reply(
  { deps, record }: Teller,
  askers: readonly Asker[],
  result: { observed: StepObserved } | { refused: StepRefusal },
): Promise<void> {
  const waiting = askers.filter((asker) => asker.server !== "");
  await Promise.all(
    waiting.map(({ server, correlation }) =>
      deps.mailbox.toServer(server, { type: "reply", correlation, episode_id: record.episode_id, result }),
    ),
  );
}

/** Tells every server of a step's observation; those that asked have their own reply. */
export async function announceObservation(teller: Teller, observed: StepObserved): Promise<void> {
  await teller.deps.mailbox.broadcast({
    ...notice(teller),
    event: "observation",
    state: observed.state,
    data: observed.observations[0] ?? null,
  });
}

/** Sends a clip of running output now and then: hints that may be lost. */
export function progressSender(teller: Teller, mail: StepMail): (chunk: OutputChunk) => void {
  let last = 0;
  return (chunk) => {
    const now = Date.now();
    if (chunk.stream === "channel" || now - last < PROGRESS_EVERY_MS) return;
    last = now;
    const text = Buffer.from(chunk.data).toString().slice(0, MAX_PROGRESS_CHARS);
    const data = { conversation: mail.conversation, seq: mail.seq, stream: chunk.stream, text };
    teller.deps.mailbox
      .broadcast({ ...notice(teller), event: "progress", state: "running", data })
      .catch((error: unknown) => teller.deps.log.debug({ err: error }, "progress not sent"));
  };
}
