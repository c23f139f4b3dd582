import type { AgentConnection } from "./agent-connection.ts";
import { Payload, PayloadReader } from "./frames.ts";

/** An agent goes before all programs of its sandbox. */
const ANSWER_MS = 5_000;

/** Whether an agent still answers: all that it said before has been read by then. */
export async function answers(connection: AgentConnection): Promise<boolean> {
  return (await connection.requestWithin(ANSWER_MS, "P", new Payload()).catch(() => null)) !== null;
}

/** As waitedMs of {@link SandboxProcess}. */
export async function waitedMs(connection: AgentConnection): Promise<number | null> {
  const answer = await connection.requestWithin(ANSWER_MS, "A", new Payload()).catch(() => null);
  if (answer === null || answer.length === 0) return null;
  const reader = new PayloadReader(answer);
  return (reader.u64() - reader.u64()) / 1000;
}
