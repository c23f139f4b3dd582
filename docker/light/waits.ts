import type { AgentConnection } from "./agent-connection.ts";
import { Payload, PayloadReader } from "./frames.ts";

/** An agent goes before all programs of its sandbox; one that is silent for so long is not asked again. */
const ANSWER_MS = 5_000;
const BYTES = 8;

/** Whether an agent still answers: what it said before has been read by then. */
export async function answers(connection: AgentConnection): Promise<boolean> {
  return (await connection.requestWithin(ANSWER_MS, "P", new Payload()).catch(() => null)) !== null;
}

/** As {@link Sandbox.waitedMs}. */
export async function waitedMs(connection: AgentConnection): Promise<number | null> {
  const answer = await connection.requestWithin(ANSWER_MS, "A", new Payload()).catch(() => null);
  return answer === null || answer.length < BYTES ? null : new PayloadReader(answer).u64() / 1000;
}
