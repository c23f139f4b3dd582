import type { Turn } from "../../core/framework.ts";
import type { Observation, ObservationInfo } from "../../core/messages.ts";
import { bodyDigest, type StepMail } from "./conversation.ts";

export const acceptedEvent = (mail: StepMail) => ({
  type: "step.accepted" as const,
  conversation: mail.conversation,
  seq: mail.seq,
  action: mail.action,
  body_digest: bodyDigest(mail),
  ...(mail.tokens === undefined ? {} : { tokens: mail.tokens }),
});

/** Tells of programs that ended with their sandbox; null when there were none. */
export const lostInfo = (count: number | null, commands: readonly string[]): ObservationInfo | null =>
  count === 0 ? null : { processes_lost: count, commands_lost: [...commands] };

export function observationOf(
  turn: Turn,
  mail: Pick<StepMail, "conversation" | "seq">,
  { done, info }: { readonly done: boolean; readonly info: ObservationInfo | null },
): Observation {
  return {
    conversation: mail.conversation,
    parent: null,
    next_seq: mail.seq + 1,
    mode: turn.mode,
    messages: [...turn.messages],
    ...(turn.tools === undefined ? {} : { tools: [...turn.tools] }),
    done,
    ...(info === null ? {} : { info }),
  };
}

export const round = (ms: number): number => Math.round(ms * 1000) / 1000;
