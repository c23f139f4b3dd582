import { join } from "node:path";
import type { Framework, FrameworkSession, TaskView, Turn } from "../core/framework.ts";
import type { Json, JsonObject } from "../core/json.ts";
import type { Message } from "../core/messages.ts";
import { type Sandbox, type SandboxProvider, WORKSPACE } from "../core/sandbox.ts";
import { openProvider } from "../docker/catalog.ts";

/** Frameworks in real sandboxes, for tests. */

export type FrameworkAction = Parameters<FrameworkSession["step"]>[0];

/** The light tier with the checkout's own build. The caller closes it. */
export function openTestProvider(): Promise<SandboxProvider> {
  const home = join(import.meta.dirname, "..", ".polygym");
  return openProvider({ tier: "light", home });
}

export const openBox = (provider: SandboxProvider): Promise<Sandbox> => provider.open({ image: "host", owner: "test" });

export const viewOf = (files: Readonly<Record<string, string>>): TaskView => ({
  instruction: "Make the program print 42.",
  workspace: WORKSPACE,
  alias: null,
  files: new Map(Object.entries(files).sort(([a], [b]) => (a < b ? -1 : 1))),
});

export interface SessionOptions {
  readonly task?: TaskView;
  readonly config?: JsonObject;
  readonly resume?: Json;
  readonly observationChars?: number;
  readonly toolMs?: number;
}

export function openSession(
  framework: Framework,
  sandbox: Sandbox,
  options: SessionOptions = {},
): Promise<FrameworkSession> {
  return framework.open({
    task: options.task ?? viewOf({}),
    sandbox,
    limits: { toolMs: options.toolMs ?? 20_000, observationChars: options.observationChars ?? 16_000 },
    config: framework.config.parse(options.config ?? {}),
    seed: 7,
    resume: options.resume ?? null,
  });
}

export const act = (session: FrameworkSession, action: FrameworkAction): Promise<Turn> =>
  session.step(action, { signal: new AbortController().signal, onOutput: () => undefined });

/** Steps through all actions; every one but the last must leave the episode open. */
export async function actAll(session: FrameworkSession, actions: readonly FrameworkAction[]): Promise<Turn[]> {
  const turns: Turn[] = [];
  for (const action of actions) turns.push(await act(session, action));
  return turns;
}

/** One tool call per argument object, in one message. */
export const call = (name: string, ...inputs: readonly unknown[]): FrameworkAction => ({
  message: {
    role: "assistant",
    content: null,
    tool_calls: inputs.map((input, i) => ({
      id: `c${i + 1}`,
      type: "function",
      function: { name, arguments: typeof input === "string" ? input : JSON.stringify(input) },
    })),
  },
});

export const textOf = (message: Message | undefined): string => message?.content ?? "";

export const texts = (turn: Turn): string[] => turn.messages.map(textOf);

/** Writes `files` below the workspace. */
export async function fill(sandbox: Sandbox, files: Readonly<Record<string, string | Uint8Array>>): Promise<void> {
  for (const [path, data] of Object.entries(files)) {
    const written = await sandbox.write(`${WORKSPACE}/${path}`, data);
    if (!written.ok) throw new Error(written.message);
  }
}

/** A file's text; null when there is none. */
export async function textAt(sandbox: Sandbox, path: string): Promise<string | null> {
  const bytes = await sandbox.read(`${WORKSPACE}/${path}`);
  return bytes.ok ? Buffer.from(bytes.value).toString("utf8") : null;
}
