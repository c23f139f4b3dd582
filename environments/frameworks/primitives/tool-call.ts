import type { AssistantMessage, Message, ToolCall } from "../../../core/messages.ts";

export type ParsedArguments =
  | { readonly ok: true; readonly value: Readonly<Record<string, unknown>> }
  | { readonly ok: false; readonly error: string };

/** A call's arguments as the model wrote them. What is not a JSON object is an error in words. */
export function parseArguments(call: ToolCall): ParsedArguments {
  let value: unknown;
  try {
    value = JSON.parse(call.function.arguments);
  } catch (error) {
    return { ok: false, error: error instanceof Error ? error.message : String(error) };
  }
  if (value === null || typeof value !== "object" || Array.isArray(value))
    return { ok: false, error: "not a JSON object" };
  return { ok: true, value: { ...value } };
}

export const toolMessage = (call: ToolCall, content: string): Message => ({
  role: "tool",
  tool_call_id: call.id,
  content,
});

export interface PlannedCall {
  readonly name: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

/** Calls that one message carries when a script says them: few steps, and each answer stays readable. */
const CALLS_PER_MESSAGE = 16;

/** Assistant messages that make these calls in order; `first` numbers their ids, which are unique in a conversation. */
export function callMessages(calls: readonly PlannedCall[], content: string, first = 1): AssistantMessage[] {
  const messages: AssistantMessage[] = [];
  for (let at = 0; at < calls.length; at += CALLS_PER_MESSAGE) {
    const batch = calls.slice(at, at + CALLS_PER_MESSAGE);
    messages.push({
      role: "assistant",
      content,
      tool_calls: batch.map((call, i) => ({
        id: `call_${first + at + i}`,
        type: "function",
        function: { name: call.name, arguments: JSON.stringify(call.arguments) },
      })),
    });
  }
  return messages;
}
