import type { Programs } from "../../core/sandbox.ts";
import type { AgentConnection } from "./agent-connection.ts";
import { Payload, PayloadReader } from "./frames.ts";

/** Different names that are kept: enough to recognise what was lost. */
const MOST_NAMES = 16;
/** The kernel keeps 15 bytes of a program's name. */
const MOST_NAME_CHARS = 15;
/** A sandbox too busy to say within this what runs in it is frozen without being asked again. */
const ANSWER_MS = 1_000;

/** The programs of a list of names, as a caller may show them: a program chooses its own name. */
export function programsOf(count: number, names: readonly string[]): Programs {
  const shown = names.map((name) => name.replaceAll(/[\p{C}\ufffd]/gu, "?").slice(0, MOST_NAME_CHARS));
  return { count, commands: [...new Set(shown)].sort().slice(0, MOST_NAMES) };
}

/** Asks the agent; null when it does not answer in time. */
export async function runningPrograms(connection: AgentConnection): Promise<Programs | null> {
  const answer = await connection.requestWithin(ANSWER_MS, "N", new Payload());
  if (answer === null) return null;
  const reader = new PayloadReader(answer);
  const count = reader.u32();
  const names = Array.from({ length: reader.u32() }, () => reader.bytes().toString());
  return programsOf(count, names);
}

/** The same for a sandbox that is about to be frozen: null also when it has ended, which the freeze itself tells. */
export async function lostPrograms(connection: AgentConnection): Promise<Programs | null> {
  return await runningPrograms(connection).catch(() => null);
}
