import { expect, test } from "vitest";
import { parseReply, replaceLines, similarLines } from "./search-replace.ts";

const block = (search: string, replace: string): string =>
  `<<<<<<< SEARCH\n${search}=======\n${replace}>>>>>>> REPLACE\n`;

test("reads several blocks, the later ones without a path of their own", () => {
  const reply = `First:\n\nsrc/a.py\n\`\`\`python\n${block("x\n", "y\n")}\`\`\`\n\nand\n\n\`\`\`python\n${block("p\n", "q\n")}\`\`\`\n`;
  const parsed = parseReply(reply, ["src/a.py"]);
  expect(parsed).toEqual({
    ok: true,
    blocks: [
      { path: "src/a.py", search: "x\n", replace: "y\n" },
      { path: "src/a.py", search: "p\n", replace: "q\n" },
    ],
  });
});

test.each([
  ["`src/a.py`:", "src/a.py"],
  ["### src/a.py", "src/a.py"],
  ["**src/a.py**", "src/a.py"],
  ["a.py", "src/a.py"],
])("finds the path in %s", (line, path) => {
  const parsed = parseReply(`${line}\n\`\`\`\n${block("x\n", "y\n")}\`\`\`\n`, ["src/a.py"]);
  expect(parsed.ok && parsed.blocks[0]?.path).toBe(path);
});

test("a new file keeps the short name that it is given", () => {
  const parsed = parseReply(`a.py\n\`\`\`\n${block("", "y\n")}\`\`\`\n`, ["src/a.py"]);
  expect(parsed.ok && parsed.blocks[0]?.path).toBe("a.py");
});

test("marks of five to nine signs are marks", () => {
  const parsed = parseReply("a.py\n```\n<<<<< SEARCH\nx\n=========\ny\n>>>>>>>>> REPLACE\n```\n", []);
  expect(parsed).toEqual({ ok: true, blocks: [{ path: "a.py", search: "x\n", replace: "y\n" }] });
});

test("shell blocks are no edits, unless an edit stands first in them", () => {
  expect(parseReply(`\`\`\`bash\necho hi\n\n\n${block("x\n", "y\n")}\`\`\`\n`, [])).toEqual({ ok: true, blocks: [] });
  const script = parseReply(`run.sh\n\`\`\`bash\n${block("x\n", "y\n")}\`\`\`\n`, []);
  expect(script.ok && script.blocks).toHaveLength(1);
});

test.each([
  ["a.py\n```\n<<<<<<< SEARCH\nx\n", "Expected `=======`"],
  ["a.py\n```\n<<<<<<< SEARCH\nx\n=======\ny\n", "Expected `>>>>>>> REPLACE` or `=======`"],
  [block("x\n", "y\n"), "Bad/missing filename. The filename must be alone on the line before the opening fence ```"],
])("a broken block is told with what was read so far", (reply, message) => {
  const parsed = parseReply(reply, []);
  expect(parsed.ok ? "" : parsed.error).toContain(`\n^^^ ${message}`);
});

test("replaces the first exact place only", () => {
  expect(replaceLines("a\nb\na\n", "a\n", "X\n")).toBe("X\nb\na\n");
});

test("gives the file's own indentation to lines that lack it", () => {
  expect(
    replaceLines("def f():\n    if x:\n        return 1\n", "if x:\n    return 1\n", "if y:\n    return 2\n"),
  ).toBe("def f():\n    if y:\n        return 2\n");
});

test("does not match lines whose indentation differs unevenly", () => {
  expect(replaceLines("  a\n    b\n", "a\nb\n", "x\ny\n")).toBeNull();
});

test("drops a blank first line that the file does not have", () => {
  expect(replaceLines("a\nb\nc\n", "\na\nb\n", "x\n")).toBe("x\nc\n");
});

test("dots stand for lines left out", () => {
  expect(replaceLines("a\nb\nc\nd\n", "a\n...\nd\n", "A\n...\nD\n")).toBe("A\nb\nc\nD\n");
  expect(replaceLines("a\nb\na\n", "a\n...\nz\n", "A\n...\nZ\n")).toBeNull();
});

test("the result of an edit ends with a line break", () => {
  expect(replaceLines("a\nb", "b\n", "c\n")).toBe("a\nc\n");
});

test("shows the lines that are most like the search", () => {
  expect(similarLines("a\nb\nX\n", "q\na\nb\nc\nr\n")).toContain("a\nb\nc");
  expect(similarLines("1\n2\n3\n", "a\nb\nc\n")).toBe("");
});

test("a search made to be slow gives up", () => {
  const whole = "\n".repeat(60_000);
  expect(replaceLines(whole, `${"\n".repeat(30_000)}x\n`, "y\n")).toBeNull();
});
