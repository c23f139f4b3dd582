import * as z from "zod";
import { JsonObject } from "./json.ts";

/** The canonical wire form: OpenAI chat messages and JSON-schema tools (DESIGN §6). */

export const ToolCall = z.object({
  id: z.string().min(1),
  type: z.literal("function"),
  function: z.object({
    name: z.string(),
    arguments: z.string().describe("the model's own text; it may be malformed JSON, and is carried as it is"),
  }),
});
export type ToolCall = z.infer<typeof ToolCall>;

export const AssistantMessage = z.object({
  role: z.literal("assistant"),
  content: z.string().nullish(),
  tool_calls: z.array(ToolCall).max(256).optional(),
  finish_reason: z.string().optional().describe('"length" tells the framework that the reply was cut'),
});
export type AssistantMessage = z.infer<typeof AssistantMessage>;

export const Message = z.discriminatedUnion("role", [
  z.object({ role: z.literal("system"), content: z.string() }),
  z.object({ role: z.literal("user"), content: z.string() }),
  AssistantMessage,
  z.object({ role: z.literal("tool"), tool_call_id: z.string(), content: z.string() }),
]);
export type Message = z.infer<typeof Message>;

export const ToolSchema = z.object({
  type: z.literal("function"),
  function: z.object({ name: z.string(), description: z.string(), parameters: JsonObject }),
});
export type ToolSchema = z.infer<typeof ToolSchema>;

export const FINISH_REASONS = ["submitted", "truncated", "abandoned"] as const;

/** What a policy does: exactly one of the three. */
export const Action = z
  .union([
    z.strictObject({ message: AssistantMessage }),
    z.strictObject({ text: z.string() }),
    z.strictObject({ finish: z.strictObject({ reason: z.enum(FINISH_REASONS) }) }),
  ])
  .describe('exactly one of {"message": …}, {"text": …}, {"finish": {"reason": "submitted"|"truncated"|"abandoned"}}');
export type Action = z.infer<typeof Action>;

/** What a trainer may keep beside a step; never used by the gym itself. */
export const StepTokens = z.object({
  prompt_ids: z.array(z.int()).optional(),
  completion_ids: z.array(z.int()),
  logprobs: z.array(z.number()).optional(),
  model_version: z.string().optional(),
});
export type StepTokens = z.infer<typeof StepTokens>;

/** What happened to an episode beside its steps. Never part of what the policy reads. */
export const ObservationInfo = z.object({
  processes_lost: z
    .int()
    .nullable()
    .optional()
    .describe("programs that ran when the sandbox was given up and are gone since; null: how many is not known"),
  commands_lost: z
    .array(z.string())
    .optional()
    .describe("names of at most 16 of them, as they called themselves: untrusted text"),
});
export type ObservationInfo = z.infer<typeof ObservationInfo>;

export const Observation = z.object({
  conversation: z.string(),
  parent: z.string().nullable().describe("the conversation that spawned this one"),
  next_seq: z.int().min(1).describe("the number that the next step of this conversation must carry"),
  mode: z.enum(["append", "replace"]).describe("append: messages are new; replace: they are the whole context"),
  messages: z.array(Message),
  tools: z.array(ToolSchema).optional().describe("present only when they changed"),
  done: z.boolean().describe("this conversation takes no more steps"),
  info: ObservationInfo.optional().describe("present only when there is something to tell"),
});
export type Observation = z.infer<typeof Observation>;
