import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { OUTCOME_OF } from "../../core/episode.ts";
import { ProblemError } from "../../core/errors.ts";
import type { Framework, FrameworkSession } from "../../core/framework.ts";
import { Message, ToolSchema } from "../../core/messages.ts";
import type { Intent } from "../../core/policy.ts";
import type { Sandbox, SandboxProvider } from "../../core/sandbox.ts";
import { findFramework, frameworks } from "../../environments/catalog.ts";
import {
  act,
  actAll,
  call,
  type FrameworkAction,
  fill,
  openBox,
  openSession,
  openTestProvider,
  textAt,
  texts,
  viewOf,
} from "../acting.ts";

/** What every line of the framework catalog must show (core/framework.ts). */

let provider: SandboxProvider;
let sandbox: Sandbox;
beforeAll(async () => {
  provider = await openTestProvider();
  sandbox = await openBox(provider);
});
afterAll(async () => {
  await sandbox.close();
  await provider.close();
});

const task = viewOf({ "main.py": "print(41)\n", "docs/notes.txt": "keep\n" });
const each = frameworks.map((framework) => ({ id: framework.id, framework }));
const saying = (type: Intent["type"]) => each.filter(({ framework }) => framework.intents.has(type));
const finish: Intent = { type: "finish" };

test("the catalog has frameworks, each with an id of its own", () => {
  expect(frameworks.length).toBeGreaterThanOrEqual(3);
  expect(new Set(frameworks.map((framework) => framework.id)).size).toBe(frameworks.length);
  for (const framework of frameworks) expect(framework.id).toMatch(/^[a-z0-9-]+\.[a-z0-9-]+$/);
  expect(findFramework("no.such")).toBeUndefined();
});

test.each(each)("$id: every setting has a default, and unknown ones are refused", ({ framework }) => {
  const defaults = framework.config.parse({});
  expect(framework.config.parse(defaults)).toEqual(defaults);
  expect(framework.config.safeParse({ no_such_setting: 1 }).success).toBe(false);
});

test.each(each)("$id: the opening is the same each time, and says task and place", async ({ framework }) => {
  const openings = await Promise.all([0, 1].map(async () => (await openSession(framework, sandbox, { task })).opening));
  const [opening] = openings;
  expect(openings[1]).toEqual(opening);
  const text = opening === undefined ? "" : texts(opening).join("\n");
  expect(text).toContain(task.instruction);
  expect(text).toContain(task.workspace);
  expect(opening?.end).toBeNull();
  for (const message of opening?.messages ?? []) Message.parse(message);
  for (const tool of opening?.tools ?? []) ToolSchema.parse(tool);
});

test.each(each)(
  "$id: a script's actions are of the kind that it accepts, and only the last one ends",
  async ({ framework }) => {
    const actions = framework.encode([{ type: "write", path: "new.txt", before: null, content: "x\n" }, finish], task);
    expect(actions.map((action) => Object.keys(action))).toEqual(actions.map(() => [framework.accepts]));
    await using session = await openSession(framework, sandbox, { task });
    const turns = await actAll(session, actions);
    expect(turns.slice(0, -1).map((turn) => turn.end)).toEqual(turns.slice(1).map(() => null));
    expect(OUTCOME_OF[turns.at(-1)?.end ?? "cancelled"]).toBe("ok");
    expect(await textAt(sandbox, "new.txt")).toBe("x\n");
    await sandbox.remove("/workspace/new.txt");
  },
);

test.each(each)("$id: finishing with nothing done ends the episode and changes nothing", async ({ framework }) => {
  await fill(sandbox, { "main.py": "print(41)\n" });
  await using session = await openSession(framework, sandbox, { task });
  const turns = await actAll(session, framework.encode([finish], task));
  expect(OUTCOME_OF[turns.at(-1)?.end ?? "cancelled"]).toBe("ok");
  expect(await textAt(sandbox, "main.py")).toBe("print(41)\n");
});

const line = fc.oneof(
  fc.string({ unit: "binary", maxLength: 12 }),
  fc.constantFrom(
    "",
    " ",
    "\t",
    "```",
    "=======",
    "<<<<<<< SEARCH",
    ">>>>>>> REPLACE",
    "...",
    "EOF",
    "a\r",
    'it\'s "$HOME" `x` \\',
    "x.txt",
    "\0",
    "'",
    "def f():",
    "    pass",
  ),
);
const content = fc
  .tuple(fc.array(line, { maxLength: 8 }), fc.constantFrom("", "\n", "\r\n"))
  .map(([lines, end]) => lines.join("\n") + end);

/** Text that any language of whole lines can say. */
const plainLine = fc.string({
  unit: fc.constantFrom("a", "b", " ", "'", '"', "$", "`", "\\", "=", "<", ">", ".", "#", "\t"),
  maxLength: 10,
});
const plain = fc.array(plainLine, { minLength: 1, maxLength: 10 }).map((lines) => `start\n${lines.join("\n")}\nend\n`);

interface RoundTrip {
  readonly framework: Framework;
  readonly before: string | null;
  readonly after: string;
}

/** Says a change by script in a fresh session. False: the framework said that its language cannot. */
async function roundTrip({ framework, before, after }: RoundTrip): Promise<boolean> {
  await sandbox.remove("/workspace/sub");
  if (before !== null) await fill(sandbox, { "sub/x.txt": before });
  const view = viewOf(before === null ? {} : { "sub/x.txt": before });
  let actions: readonly FrameworkAction[];
  try {
    actions = framework.encode([{ type: "write", path: "sub/x.txt", before, content: after }, finish], view);
  } catch (error) {
    if (error instanceof ProblemError && error.code === "invalid_cell") return false;
    throw error;
  }
  await using session = await openSession(framework, sandbox, { task: view });
  await actAll(session, actions);
  expect(await textAt(sandbox, "sub/x.txt")).toBe(after);
  return true;
}

test.each(saying("write"))(
  "$id: what a script writes is there to the byte, or it says that it cannot",
  async ({ framework }) => {
    let said = 0;
    await fc.assert(
      fc.asyncProperty(fc.option(content), content, async (before, after) => {
        said += Number(await roundTrip({ framework, before, after }));
      }),
      { numRuns: 40 },
    );
    expect(said).toBeGreaterThan(20);
  },
);

test.each(saying("write"))("$id: ordinary text can always be said", async ({ framework }) => {
  await fc.assert(
    fc.asyncProperty(fc.option(plain), plain, async (before, after) => {
      expect(await roundTrip({ framework, before, after })).toBe(true);
    }),
    { numRuns: 25 },
  );
});

test.each(saying("write"))("$id: a large file and several files at once arrive whole", async ({ framework }) => {
  const large = Array.from({ length: 30_000 }, (_, i) => `line ${i}`).join("\n");
  const files: Record<string, string> = {
    "big/a.txt": `${large}\n`,
    "big/b.txt": large,
    "big/deep/er/c.py": "",
    "big/d.txt": "d\n",
  };
  const writes = Object.entries(files).map(
    ([path, text]): Intent => ({ type: "write", path, before: null, content: text }),
  );
  await using session = await openSession(framework, sandbox);
  await actAll(session, framework.encode([...writes, finish], viewOf({})));
  for (const [path, text] of Object.entries(files)) expect(await textAt(sandbox, path)).toBe(text);
  await sandbox.remove("/workspace/big");
});

test.each(saying("delete"))("$id: a script deletes files and folders", async ({ framework }) => {
  await fill(sandbox, { "gone/a 'b'.txt": "x", "gone.txt": "y" });
  const intents: Intent[] = [{ type: "delete", path: "gone" }, { type: "delete", path: "gone.txt" }, finish];
  await using session = await openSession(framework, sandbox);
  await actAll(session, framework.encode(intents, viewOf({})));
  expect([await textAt(sandbox, "gone/a 'b'.txt"), await textAt(sandbox, "gone.txt")]).toEqual([null, null]);
});

test.each(saying("run"))("$id: a script that leaves its shell does not end the work", async ({ framework }) => {
  const intents: Intent[] = [
    { type: "run", command: 'set -e\ncd /tmp\necho "it\'s" > /workspace/one.txt\nexit 3' },
    { type: "run", command: "pwd > two.txt" },
    finish,
  ];
  await using session = await openSession(framework, sandbox);
  const turns = await actAll(session, framework.encode(intents, viewOf({})));
  expect([await textAt(sandbox, "one.txt"), await textAt(sandbox, "two.txt")]).toEqual(["it's\n", "/workspace\n"]);
  expect(OUTCOME_OF[turns.at(-1)?.end ?? "cancelled"]).toBe("ok");
});

test.each(saying("run"))("$id: a long output is cut to observationChars", async ({ framework }) => {
  await using session = await openSession(framework, sandbox, { observationChars: 500 });
  const [turn] = await actAll(
    session,
    framework.encode([{ type: "run", command: "seq 1 100000" }, finish], viewOf({})).slice(0, 1),
  );
  const length = (turn === undefined ? [] : texts(turn)).join("").length;
  expect(length).toBeGreaterThan(400);
  expect(length).toBeLessThan(500 + 700);
});

test.each(saying("run"))("$id: an abort ends a running command at once", async ({ framework }) => {
  await using session = await openSession(framework, sandbox);
  const [action] = framework.encode([{ type: "run", command: "echo started; sleep 60" }, finish], viewOf({}));
  if (action === undefined) throw new Error("no action");
  const controller = new AbortController();
  const step = session.step(action, {
    signal: controller.signal,
    onOutput: () => controller.abort(new Error("stop")),
  });
  await expect(step).rejects.toThrow("stop");
});

const strange = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.json(),
  fc
    .record({ command: fc.anything(), path: fc.anything(), old_str: fc.anything(), view_range: fc.anything() })
    .map((value) => JSON.stringify(value) ?? "{}"),
  fc.constantFrom("", "null", "[]", '{"command":"view"}', '{"command":"view","path":"/workspace/none"}', '{"command":'),
);
const strangeCalls = fc.array(
  fc.record({
    id: fc.uuid(),
    type: fc.constant("function" as const),
    function: fc.record({
      name: fc.oneof(fc.constantFrom("edit", "bash ", "str_replace_based_edit_tool"), fc.string()),
      arguments: strange,
    }),
  }),
  { maxLength: 3 },
);
const strangeText = fc
  .array(fc.oneof(line, fc.constantFrom("main.py", "../../etc/passwd", "/etc/passwd", "```python")), { maxLength: 12 })
  .map((lines) => lines.join("\n"));
const strangeAction = (framework: Framework): fc.Arbitrary<FrameworkAction> =>
  framework.accepts === "text"
    ? strangeText.map((text) => ({ text }))
    : fc
        .tuple(strangeCalls, fc.option(fc.string()), fc.constantFrom(undefined, "length", "stop"))
        .map(([tool_calls, text, finish_reason]) => ({
          message: {
            role: "assistant",
            content: text,
            tool_calls,
            ...(finish_reason === undefined ? {} : { finish_reason }),
          },
        }));

test.each(each)("$id: a malformed action is answered in words, never thrown", async ({ framework }) => {
  await fc.assert(
    fc.asyncProperty(strangeAction(framework), async (action) => {
      await using session = await openSession(framework, sandbox, { task });
      const turn = await act(session, action);
      for (const message of turn.messages) Message.parse(message);
      expect(turn.end !== null || texts(turn).some((text) => text !== "")).toBe(true);
      const asked = "message" in action ? (action.message.tool_calls ?? []).map((one) => one.id) : [];
      const answered = turn.messages.flatMap((message) => (message.role === "tool" ? [message.tool_call_id] : []));
      expect(answered.length === 0 || answered.join() === asked.join()).toBe(true);
    }),
    { numRuns: 40 },
  );
});

/** An action that this framework answers with words of error. */
const broken = (framework: Framework): FrameworkAction =>
  framework.accepts === "text"
    ? { text: "main.py\n```\n<<<<<<< SEARCH\nnot there\n=======\nx\n>>>>>>> REPLACE\n```\n" }
    : call("no_such_tool", {});

/** Broken actions until it ends, at most ten; `between` may exchange the session after each. */
async function breakUntilEnd(
  framework: Framework,
  between: (session: FrameworkSession) => Promise<FrameworkSession>,
): Promise<string[]> {
  let session = await openSession(framework, sandbox, { task });
  const ends: string[] = [];
  while (ends.length < 10 && ends.at(-1) !== "format_abort") {
    ends.push((await act(session, broken(framework))).end ?? "open");
    session = await between(session);
  }
  await session[Symbol.asyncDispose]();
  return ends;
}

test.each(each)("$id: its state survives in another session, counters included", async ({ framework }) => {
  const straight = await breakUntilEnd(framework, async (session) => session);
  const resumed = await breakUntilEnd(framework, async (session) => {
    const state = JSON.parse(JSON.stringify(await session.state()));
    await session[Symbol.asyncDispose]();
    return openSession(framework, sandbox, { task, resume: state });
  });
  expect(resumed).toEqual(straight);
});

test.each(each)("$id: a session that was closed twice or never used harms nothing", async ({ framework }) => {
  const session = await openSession(framework, sandbox, { task });
  await session[Symbol.asyncDispose]();
  await session[Symbol.asyncDispose]();
});
