import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { FrameworkSession } from "../../../core/framework.ts";
import type { Sandbox, SandboxProvider } from "../../../core/sandbox.ts";
import {
  act,
  call,
  fill,
  openBox,
  openSession,
  openTestProvider,
  type SessionOptions,
  textAt,
  texts,
} from "../../../test/acting.ts";
import { anthropicBashEditor } from "./framework.ts";
import { BASH, EDITOR } from "./prompt.ts";

let provider: SandboxProvider;
let sandbox: Sandbox;
beforeAll(async () => {
  provider = await openTestProvider();
});
beforeEach(async () => {
  sandbox = await openBox(provider);
  return () => sandbox.close();
});
afterAll(() => provider.close());

const open = (options: SessionOptions = {}) => openSession(anthropicBashEditor, sandbox, options);
async function bash(session: FrameworkSession, command: string): Promise<string> {
  return texts(await act(session, call(BASH, { command }))).join("");
}
async function edit(input: unknown, options: SessionOptions = {}): Promise<string> {
  await using session = await open(options);
  return texts(await act(session, call(EDITOR, input))).join("");
}

test("the shell keeps folder, variables and functions, and tells no exit code", async () => {
  await using session = await open();
  await bash(session, "mkdir -p d && cd d && X=7 && f() { echo f$1; }");
  expect(await bash(session, "pwd; f $X; false")).toBe("/workspace/d\nf7");
});

test("standard error comes apart from standard output", async () => {
  await using session = await open();
  expect(await bash(session, "echo out; echo err >&2")).toBe("out\n<error>err</error>");
  expect(await bash(session, "true")).toBe("");
});

test("a command out of time makes a restart necessary", async () => {
  await using session = await open({ toolMs: 500 });
  const late = "timed out: bash has not returned in 0.5 seconds and must be restarted";
  expect(await bash(session, "sleep 30")).toBe(late);
  expect(await bash(session, "echo hi")).toBe(late);
  expect(texts(await act(session, call(BASH, { restart: true })))).toEqual([
    "<system>tool has been restarted.</system>",
  ]);
  expect(await bash(session, "echo hi")).toBe("hi");
});

test("a shell that has ended says so until it is restarted", async () => {
  await using session = await open();
  const ended = "<system>tool must be restarted</system>\nbash has exited with returncode 3";
  expect(await bash(session, "echo last; exit 3")).toBe(`last\n${ended}`);
  expect(await bash(session, "echo hi")).toBe(ended);
  await act(session, call(BASH, { restart: true }));
  expect(await bash(session, "echo hi; pwd")).toBe("hi\n/workspace");
});

test("calls run in order and are all answered, bad ones too", async () => {
  await using session = await open();
  const turn = await act(session, call(BASH, { command: "echo 1 > f" }, {}, "{", { command: "cat f" }));
  expect(turn.messages.map((message) => message.role === "tool" && message.tool_call_id)).toEqual([
    "c1",
    "c2",
    "c3",
    "c4",
  ]);
  expect(texts(turn)[1]).toBe("no command provided.");
  expect(texts(turn)[2]).toContain("The input of tool bash is not valid: ");
  expect(texts(turn)[3]).toBe("1");
  expect(texts(await act(session, call("python", {})))).toEqual(["Tool python is invalid"]);
});

test("a reply without tool calls ends the episode", async () => {
  await using session = await open();
  expect(await act(session, { message: { role: "assistant", content: "done" } })).toEqual({
    messages: [],
    mode: "append",
    end: "text_end",
  });
});

test("long output is clipped at its end", async () => {
  await using session = await open({ observationChars: 300 });
  const text = await bash(session, "printf 'a%.0s' $(seq 1000)");
  expect(text.startsWith(`${"a".repeat(300)}<response clipped>`)).toBe(true);
});

test("a shell continues in another sandbox where it stopped", async () => {
  const session = await open();
  await bash(
    session,
    `mkdir -p d; cd d; export E='x y'; N=$'two\\nlines'; L=(a "b c"); g() { echo "<$1>"; }; set -o noglob; alias ll='echo al'`,
  );
  const state = JSON.parse(JSON.stringify(await session.state()));
  await session[Symbol.asyncDispose]();
  await using other = await openBox(provider);
  await fill(other, { "d/keep": "" });
  await using resumed = await openSession(anthropicBashEditor, other, { resume: state });
  expect(await bash(resumed, `pwd; env | grep ^E=; echo "$N"; g "\${L[1]}"; echo *; alias ll`)).toBe(
    "/workspace/d\nE=x y\ntwo\nlines\n<b c>\n*\nalias ll='echo al'",
  );
});

test("a shell that had ended has ended in the other sandbox too", async () => {
  const session = await open();
  await bash(session, "exit 4");
  const state = JSON.parse(JSON.stringify(await session.state()));
  await using resumed = await open({ resume: state });
  expect(await bash(resumed, "echo hi")).toContain("bash has exited with returncode 4");
});

test("view numbers lines, with a range if asked", async () => {
  await fill(sandbox, { "a.txt": "one\n\ttwo\nthree\n" });
  const path = "/workspace/a.txt";
  expect(await edit({ command: "view", path })).toBe(
    `Here's the result of running \`cat -n\` on ${path}:\n     1\tone\n     2\t        two\n     3\tthree\n     4\t\n`,
  );
  expect(await edit({ command: "view", path, view_range: [3, -1] })).toContain("     3\tthree\n     4\t\n");
  expect(await edit({ command: "view", path, view_range: [1, 1] })).toContain(":\n     1\tone\n");
});

test.each([
  [[1], "Invalid `view_range`. It should be a list of two integers."],
  [[1, 2.5], "Invalid `view_range`. It should be a list of two integers."],
  [
    [0, 1],
    "Invalid `view_range`: [0, 1]. Its first element `0` should be within the range of lines of the file: [1, 3]",
  ],
  [
    [1, 9],
    "Invalid `view_range`: [1, 9]. Its second element `9` should be smaller than the number of lines in the file: `3`",
  ],
  [[2, 1], "Invalid `view_range`: [2, 1]. Its second element `1` should be larger or equal than its first `2`"],
])("view_range %j is refused in words", async (view_range, words) => {
  await fill(sandbox, { "a.txt": "one\ntwo\n" });
  expect(await edit({ command: "view", path: "/workspace/a.txt", view_range })).toBe(words);
});

test("view lists a folder two levels deep, without hidden names", async () => {
  await fill(sandbox, { "p/a.txt": "", "p/q/b.txt": "", "p/q/r/c.txt": "", "p/.git/x": "", "p/q/.hid": "" });
  expect(await edit({ command: "view", path: "/workspace/p/" })).toBe(
    "Here's the files and directories up to 2 levels deep in /workspace/p, excluding hidden items:\n/workspace/p\n/workspace/p/a.txt\n/workspace/p/q\n/workspace/p/q/b.txt\n/workspace/p/q/r\n",
  );
  expect(await edit({ command: "view", path: "/workspace/p", view_range: [1, 2] })).toContain(
    "is not allowed when `path` points to a directory",
  );
});

test("create makes folders and a file, and never replaces one", async () => {
  const input = { command: "create", path: "/workspace/x/y.txt", file_text: "\thi\r\n" };
  expect(await edit(input)).toBe("File created successfully at: /workspace/x/y.txt");
  expect(await textAt(sandbox, "x/y.txt")).toBe("\thi\r\n");
  expect(await edit(input)).toBe(
    "File already exists at: /workspace/x/y.txt. Cannot overwrite files using command `create`.",
  );
});

test("str_replace shows the place", async () => {
  await fill(sandbox, { "a.txt": "1\n2\n3\n4\n5\n6\n" });
  const path = "/workspace/a.txt";
  expect(await edit({ command: "str_replace", path, old_str: "6", new_str: "six" })).toBe(
    `The file ${path} has been edited. Here's the result of running \`cat -n\` on a snippet of ${path}:\n     2\t2\n     3\t3\n     4\t4\n     5\t5\n     6\tsix\n     7\t\nReview the changes and make sure they are as expected. Edit the file again if necessary.`,
  );
  await edit({ command: "str_replace", path, old_str: "1\n" });
  expect(await textAt(sandbox, "a.txt")).toBe("2\n3\n4\n5\nsix\n");
});

test("str_replace asks for exactly one occurrence", async () => {
  await fill(sandbox, { "a.txt": "x\ny\nx x\n" });
  const path = "/workspace/a.txt";
  expect(await edit({ command: "str_replace", path, old_str: "x", new_str: "" })).toBe(
    "No replacement was performed. Multiple occurrences of old_str `x` in lines [1, 3]. Please ensure it is unique",
  );
  expect(await edit({ command: "str_replace", path, old_str: "zz" })).toBe(
    `No replacement was performed, old_str \`zz\` did not appear verbatim in ${path}.`,
  );
});

test("an edit turns tabs into spaces and CRLF into LF, as the reference does", async () => {
  await fill(sandbox, { "a.txt": "\ta\r\nb\r\n" });
  const path = "/workspace/a.txt";
  expect(await edit({ command: "str_replace", path, old_str: "\ta\nb", new_str: "c\td" })).toContain("has been edited");
  expect(await textAt(sandbox, "a.txt")).toBe("c       d\n");
  await fill(sandbox, { "a.txt": "\ta\nb\n" });
  await edit({ command: "str_replace", path, old_str: "b", new_str: "c" }, { config: { expand_tabs: false } });
  expect(await textAt(sandbox, "a.txt")).toBe("\ta\nc\n");
});

test("insert puts text after a line", async () => {
  await fill(sandbox, { "a.txt": "1\n2\n" });
  const path = "/workspace/a.txt";
  expect(await edit({ command: "insert", path, insert_line: 1, insert_text: "x" })).toBe(
    `The file ${path} has been edited. Here's the result of running \`cat -n\` on a snippet of the edited file:\n     1\t1\n     2\tx\n     3\t2\n     4\t\nReview the changes and make sure they are as expected (correct indentation, no duplicate lines, etc). Edit the file again if necessary.`,
  );
  expect(await textAt(sandbox, "a.txt")).toBe("1\nx\n2\n");
  expect(await edit({ command: "insert", path, insert_line: 9, insert_text: "x" })).toBe(
    "Invalid `insert_line` parameter: 9. It should be within the range of lines of the file: [0, 4]",
  );
});

test.each([
  [
    { command: "undo_edit", path: "/workspace/a.txt" },
    "Unrecognized command undo_edit. The allowed commands for the str_replace_based_edit_tool tool are: view, create, str_replace, insert",
  ],
  [
    { command: "view", path: "a.txt" },
    "The path a.txt is not an absolute path, it should start with `/`. Maybe you meant /workspace/a.txt?",
  ],
  [
    { command: "view", path: "/workspace/none" },
    "The path /workspace/none does not exist. Please provide a valid path.",
  ],
  [
    { command: "insert", path: "/workspace", insert_line: 0, insert_text: "" },
    "The path /workspace is a directory and only the `view` command can be used on directories",
  ],
  [{ command: "create", path: "/workspace/n" }, "Parameter `file_text` is required for command: create"],
  [{ command: "str_replace", path: "/workspace/a.txt" }, "Parameter `old_str` is required for command: str_replace"],
  [
    { command: "insert", path: "/workspace/a.txt", insert_text: "" },
    "Parameter `insert_line` is required for command: insert",
  ],
  [
    { command: "insert", path: "/workspace/a.txt", insert_line: 0 },
    "Parameter `insert_text` is required for command: insert",
  ],
  [
    { command: "view", path: "/workspace/bin" },
    "Ran into a byte that is not UTF-8 while trying to read /workspace/bin",
  ],
])("the editor refuses %j in its words", async (input, words) => {
  await fill(sandbox, { "a.txt": "a\n", bin: Uint8Array.of(255, 254) });
  expect(await edit(input)).toBe(words);
});

test("a long file is clipped before its lines are numbered", async () => {
  await fill(sandbox, { "a.txt": `${"x".repeat(999)}\n`.repeat(3) });
  const text = await edit({ command: "view", path: "/workspace/a.txt" }, { observationChars: 1500 });
  expect(text).toContain(`     2\t${"x".repeat(500)}<response clipped>`);
});
