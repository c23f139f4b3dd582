import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Sandbox, SandboxProvider } from "../../../core/sandbox.ts";
import {
  act,
  fill,
  openBox,
  openSession,
  openTestProvider,
  type SessionOptions,
  textAt,
  texts,
  viewOf,
} from "../../../test/acting.ts";
import { aiderDiff } from "./framework.ts";

const files = { "main.py": "def f():\n    return 41\n", "lib/util.py": "X = 1\n", "crlf.txt": "one\r\ntwo\r\n" };
const task = viewOf(files);

let provider: SandboxProvider;
let sandbox: Sandbox;
beforeAll(async () => {
  provider = await openTestProvider();
});
beforeEach(async () => {
  sandbox = await openBox(provider);
  await fill(sandbox, files);
  return () => sandbox.close();
});
afterAll(() => provider.close());

const open = (options: SessionOptions = {}) => openSession(aiderDiff, sandbox, { task, ...options });
const edit = (path: string, search: string, replace: string): string =>
  `${path}\n\`\`\`python\n<<<<<<< SEARCH\n${search}=======\n${replace}>>>>>>> REPLACE\n\`\`\`\n`;
const good = edit("main.py", "    return 41\n", "    return 42\n");
const bad = edit("main.py", "    return 40\n", "    return 42\n");

test("shows every file in full, and no tools", async () => {
  const { opening } = await open();
  expect(opening.tools).toEqual([]);
  expect(texts(opening)[1]).toContain("main.py\n```\ndef f():\n    return 41\n```\n");
  expect(texts(opening)[1]).toContain("crlf.txt\n```\none\ntwo\n```\n");
});

test("a reply whose blocks all apply ends the episode", async () => {
  const reply = `I change two files.\n\n${good}\n${edit("new/file.py", "", "Y = 2\n")}`;
  const turn = await act(await open(), { text: reply });
  expect(turn.end).toBe("submitted");
  expect(texts(turn)).toEqual(["Applied edit to main.py\nApplied edit to new/file.py"]);
  expect(await textAt(sandbox, "main.py")).toBe("def f():\n    return 42\n");
  expect(await textAt(sandbox, "new/file.py")).toBe("Y = 2\n");
});

test("a reply without blocks ends the episode", async () => {
  expect(await act(await open(), { text: "Nothing to do in main.py." })).toMatchObject({
    end: "text_end",
    messages: [],
  });
});

test("the good blocks of a reply are applied, the others are told", async () => {
  const turn = await act(await open(), { text: `${edit("lib/util.py", "X = 1\n", "X = 2\n")}\n${bad}` });
  expect(turn).toMatchObject({ end: null, mode: "replace" });
  const [, prompt, reply, answer] = texts(turn);
  expect(prompt).toContain("lib/util.py\n```\nX = 2\n```");
  expect(reply).toContain("return 40");
  expect(answer).toContain("# 1 SEARCH/REPLACE block failed to match!");
  expect(answer).toContain(
    "## SearchReplaceNoExactMatch: This SEARCH block failed to exactly match lines in main.py\n<<<<<<< SEARCH\n    return 40\n=======\n",
  );
  expect(answer).toContain("# The other 1 SEARCH/REPLACE block were applied successfully.\nDon't re-send them.");
  expect(turn.messages.map((message) => message.role)).toEqual(["system", "user", "assistant", "user"]);
});

test("helps with lines that are like the search, and with what is there already", async () => {
  const search = "def f():\n    return 40\n    # end\n";
  await fill(sandbox, { "main.py": "def f():\n    return 40\n    # END\n    return 41\n" });
  const turn = await act(await open(), { text: edit("main.py", search, "    return 41\n") });
  const answer = texts(turn).at(-1);
  expect(answer).toContain("Did you mean to match some of these actual lines from main.py?");
  expect(answer).toContain("The REPLACE lines are already in main.py!");
});

test("a malformed reply applies nothing", async () => {
  const turn = await act(await open(), { text: `${good}\nmain.py\n\`\`\`\n<<<<<<< SEARCH\nx\n` });
  expect(texts(turn).at(-1)).toContain("^^^ Expected `=======`");
  expect(await textAt(sandbox, "main.py")).toBe(files["main.py"]);
});

test("after three reflections the fourth failure ends it, and what was applied stays", async () => {
  const session = await open();
  const ends = [];
  for (const reply of [`${good}${bad}`, bad, bad, bad]) ends.push((await act(session, { text: reply })).end);
  expect(ends).toEqual([null, null, null, "format_abort"]);
  expect(await textAt(sandbox, "main.py")).toBe("def f():\n    return 42\n");
});

test("another file of the chat is tried when the named one does not match", async () => {
  const turn = await act(await open(), { text: edit("main.py", "X = 1\n", "X = 3\n") });
  expect(turn.end).toBe("submitted");
  expect(await textAt(sandbox, "lib/util.py")).toBe("X = 3\n");
});

test("a file whose lines end in CRLF keeps them", async () => {
  await act(await open(), { text: edit("crlf.txt", "one\n", "1\n") });
  expect(await textAt(sandbox, "crlf.txt")).toBe("1\r\ntwo\r\n");
});

test.each(["../out.py", "/etc/x.py"])("%s is not edited", async (path) => {
  const turn = await act(await open(), { text: edit(path, "", "x\n") });
  expect(turn.end).toBeNull();
  expect(texts(turn).at(-1)).toContain(`## ${path} is not below /workspace`);
});

test("a file without room in the chat is added when it is named", async () => {
  const session = await open({ config: { chat_chars: 20 } });
  expect(texts(session.opening)[1]).not.toContain("return 41");
  const turn = await act(session, { text: "I need `main.py`." });
  expect(turn).toMatchObject({ end: null, mode: "replace" });
  expect(texts(turn)[1]).toContain("return 41");
  expect(texts(turn).at(-1)).toContain("These files are in the chat now: main.py");
});

test("the answer to a long failing reply is cut", async () => {
  const turn = await act(await open({ observationChars: 400 }), { text: edit("main.py", "no\n".repeat(5000), "x\n") });
  expect(texts(turn).at(-1)?.length).toBeLessThanOrEqual(400);
});

test("its history is in the state", async () => {
  const session = await open();
  await act(session, { text: bad });
  const state = JSON.parse(JSON.stringify(await session.state()));
  const turn = await act(await open({ resume: state }), { text: bad });
  expect(turn.messages.map((message) => message.role)).toEqual([
    "system",
    "user",
    "assistant",
    "user",
    "assistant",
    "user",
  ]);
});

const write = (content: string, before: string | null = null) =>
  aiderDiff.encode(
    [{ type: "write", path: "x.txt", before, content }, { type: "finish" }],
    viewOf(before === null ? {} : { "x.txt": before }),
  );

test.each([
  "=======\n",
  "a\n<<<<<<< SEARCH\n=======\n>>>>>>> REPLACE\nb\n",
  "no last break",
  "```\nx\n```\n",
  "",
  "a\r\n=======\r\n",
])("content %j can be said", async (content) => {
  const session = await openSession(aiderDiff, sandbox, { task: viewOf({}) });
  const [action] = write(content);
  const turn = action === undefined ? null : await act(session, action);
  expect(turn?.end).toBe("submitted");
  expect(await textAt(sandbox, "x.txt")).toBe(content);
});

test("a change inside of marks cannot be said, and it says so", () => {
  expect(() => write("a\nc\n", "a\n=======\n")).toThrow(/cannot be said in whole lines/);
  expect(() => aiderDiff.encode([{ type: "run", command: "true" }], task)).toThrow(
    /run is not a SEARCH\/REPLACE block/,
  );
});
