import { afterAll, beforeAll, expect, test } from "vitest";
import type { Sandbox, SandboxProvider } from "../../../core/sandbox.ts";
import { act, call, openBox, openSession, openTestProvider, textAt, texts } from "../../../test/acting.ts";
import { miniSweToolcall, renderOutcome, submits } from "./framework.ts";
import { SENTINEL } from "./prompt.ts";

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

const open = (options = {}) => openSession(miniSweToolcall, sandbox, options);
const bash = (...commands: string[]) => call("bash", ...commands.map((command) => ({ command })));
const outcome = { output: "", droppedBytes: 0, returncode: 0, exception: null };

test("shows the exit code and both streams in order", async () => {
  const turn = await act(await open(), bash("echo out; echo err >&2; echo end; exit 3"));
  expect(turn).toEqual({
    messages: [
      {
        role: "tool",
        tool_call_id: "c1",
        content: "<returncode>3</returncode>\n<output>\nout\nerr\nend\n</output>",
      },
    ],
    mode: "append",
    end: null,
  });
});

test("runs several calls in order, each in a shell of its own", async () => {
  const turn = await act(
    await open(),
    bash("cd /tmp; export A=1; echo x > /workspace/f", "pwd; echo [$A] $PAGER; cat f"),
  );
  expect(texts(turn)[1]).toBe("<returncode>0</returncode>\n<output>\n/workspace\n[] cat\nx\n</output>");
});

test("a signal shows as a negative code", async () => {
  const turn = await act(await open(), bash("kill -9 $$"));
  expect(texts(turn)[0]).toContain("<returncode>-9</returncode>");
});

test("a command out of time keeps what it printed", async () => {
  const turn = await act(await open({ toolMs: 300 }), bash("echo early; sleep 30"));
  expect(texts(turn)[0]).toBe(
    "<exception>An error occurred while executing the command: Command timed out after 0.3 seconds</exception>\n<returncode>-1</returncode>\n<output>\nearly\n</output>",
  );
});

test("a null byte or an overlong command is told, not run", async () => {
  const turn = await act(await open(), bash("echo \0", `: ${"x".repeat(140_000)}`));
  const [zero, long] = texts(turn);
  expect(zero).toContain("An error occurred while executing the command: embedded null byte");
  expect(long).toContain("Argument list too long");
});

test("long output is shown as head and tail", () => {
  const text = `${"a".repeat(30)}${"b".repeat(40)}${"c".repeat(30)}`;
  const shown = renderOutcome({ ...outcome, output: text }, 60);
  expect(shown).toContain(`<output_head>\n${"a".repeat(30)}\n</output_head>`);
  expect(shown).toContain("<elided_chars>\n40 characters elided\n</elided_chars>");
  expect(shown).toContain(`<output_tail>\n${"c".repeat(30)}\n</output_tail>`);
});

test.each([
  [`${SENTINEL}\nrest`, 0, true],
  [`\n  ${SENTINEL}  \n`, 0, true],
  [`${SENTINEL}\n`, 1, false],
  [`first\n${SENTINEL}\n`, 0, false],
  [`${SENTINEL} and more\n`, 0, false],
])("output %j with code %i submits: %s", (output, returncode, expected) => {
  expect(submits({ ...outcome, output, returncode })).toBe(expected);
});

test("calls after the submission are answered as not executed", async () => {
  const turn = await act(await open(), bash(`echo ${SENTINEL}`, "touch late"));
  expect(turn.end).toBe("submitted");
  expect(texts(turn)[1]).toBe(
    "<exception>action was not executed</exception>\n<returncode>-1</returncode>\n<output>\n</output>",
  );
  expect(await textAt(sandbox, "late")).toBeNull();
});

test.each([
  [
    "no call",
    { message: { role: "assistant", content: "hm" } } as const,
    "No tool calls found in the response. Every response MUST include at least one tool call.",
  ],
  ["another tool", call("python", { command: "1" }), "Unknown tool 'python'."],
  ["no command", call("bash", {}), "Missing 'command' argument in bash tool call."],
  ["bad JSON", call("bash", '{"command'), "Error parsing tool call arguments: "],
  ["a number", call("bash", { command: 1 }), "The 'command' argument must be a string."],
])("%s is a format error", async (_, action, words) => {
  const turn = await act(await open(), action);
  expect(turn.messages.map((message) => message.role)).toEqual(["user"]);
  expect(texts(turn)[0]).toContain(`Tool call error:\n\n<error>\n${words}`);
});

test("one bad call keeps the good ones from running", async () => {
  const action = {
    message: {
      role: "assistant" as const,
      tool_calls: [
        { id: "a", type: "function" as const, function: { name: "bash", arguments: '{"command":"touch ran"}' } },
        { id: "b", type: "function" as const, function: { name: "bash", arguments: "{" } },
      ],
    },
  };
  await act(await open(), action);
  expect(await textAt(sandbox, "ran")).toBeNull();
});

test("a reply that was cut off is told so", async () => {
  const session = await open();
  const cut = await act(session, { message: { role: "assistant", content: "…", finish_reason: "length" } });
  const uncut = await act(session, { message: { role: "assistant", content: "…", finish_reason: "stop" } });
  expect(texts(cut)[0]).toContain("limit of output tokens");
  expect(texts(uncut)[0]).not.toContain("limit of output tokens");
});

test("three format errors in a row abort; a clean step starts the count anew", async () => {
  const session = await open();
  const ends = [];
  for (const action of [call("x"), call("x"), bash("true"), call("x"), call("x"), call("x")])
    ends.push((await act(session, action)).end);
  expect(ends).toEqual([null, null, null, null, null, "format_abort"]);
});
