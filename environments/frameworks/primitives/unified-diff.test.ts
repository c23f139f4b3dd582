import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { applyHunks, parseUnifiedDiff } from "./unified-diff.ts";

function firstFile(diff: string) {
  const parsed = parseUnifiedDiff(diff);
  const file = parsed.ok ? parsed.files[0] : undefined;
  if (file === undefined) throw new Error(parsed.ok ? "no file" : parsed.message);
  return file;
}

const apply = (text: string, diff: string) => applyHunks(text, firstFile(diff).hunks);

test("applies a plain diff", () => {
  const diff = "--- x.txt\t2020-01-01\n+++ x.txt\t2020-01-02\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n";
  expect(firstFile(diff)).toMatchObject({ from: "x.txt", to: "x.txt", kind: "change", mode: null });
  expect(apply("a\nb\nc\n", diff)).toEqual({ ok: true, text: "a\nB\nc\n" });
});

test("finds lines that have moved, nearest first", () => {
  const diff = "--- a/x\n+++ b/x\n@@ -2,1 +2,1 @@\n-b\n+B\n";
  expect(apply("1\n2\n3\nb\n5\nb\n", diff)).toEqual({ ok: true, text: "1\n2\n3\nB\n5\nb\n" });
});

test("a hunk whose lines are nowhere is a mismatch", () => {
  expect(apply("a\n", "--- a/x\n+++ b/x\n@@ -1,1 +1,1 @@\n-b\n+B\n")).toEqual({ ok: false, hunk: 1, oldStart: 1 });
});

test("keeps and makes a missing last line break", () => {
  const diff = "--- a/x\n+++ b/x\n@@ -1,1 +1,1 @@\n-a\n\\ No newline at end of file\n+b\n";
  expect(apply("a", diff)).toEqual({ ok: true, text: "b\n" });
  const back = "--- a/x\n+++ b/x\n@@ -1,1 +1,1 @@\n-a\n+b\n\\ No newline at end of file\n";
  expect(apply("a\n", back)).toEqual({ ok: true, text: "b" });
});

test("a removed line that looks like a file header is a line", () => {
  const diff = "--- a/x\n+++ b/x\n@@ -1,2 +1,1 @@\n--- y\n-++ z\n+++ y\n";
  expect(apply("-- y\n++ z\n", diff)).toEqual({ ok: true, text: "++ y\n" });
});

test.each([
  ["new file mode 100755\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+a\n", { from: null, to: "x", mode: 0o755 }],
  ["deleted file mode 100644\n--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n", { from: "x", to: null }],
  ["new file mode 100644\nindex 0000000..e69de29\n", { from: null, to: "x", mode: 0o644, hunks: [] }],
  ["old mode 100644\nnew mode 100755\n", { from: "x", to: "x", mode: 0o755 }],
])("reads git's header %#", (rest, expected) => {
  expect(firstFile(`diff --git a/x b/x\n${rest}`)).toMatchObject(expected);
});

test("reads renames and copies", () => {
  const rename = "diff --git a/old.py b/new.py\nsimilarity index 100%\nrename from old.py\nrename to new.py\n";
  expect(firstFile(rename)).toMatchObject({ from: "old.py", to: "new.py", kind: "rename" });
  expect(firstFile(rename.replaceAll("rename", "copy"))).toMatchObject({ kind: "copy" });
});

test("reads quoted names with bytes in octal", () => {
  const diff = '--- "a/\\303\\244 \\"q\\".txt"\n+++ "b/\\303\\244 \\"q\\".txt"\n@@ -1 +1 @@\n-a\n+b\n';
  expect(firstFile(diff).to).toBe('ä "q".txt');
});

test("names without git's prefixes stay whole", () => {
  expect(firstFile("--- a/x\n+++ a/x\n@@ -1 +1 @@\n-a\n+b\n").to).toBe("a/x");
});

test.each([
  ["", "malformed"],
  ["hello\n", "malformed"],
  ["@@ -1 +1 @@\n-a\n+b\n", "malformed"],
  ["--- a/x\n+++ b/x\n@@ -1,9 +1 @@\n-a\n+b\n", "malformed"],
  ["--- a/x\n+++ b/x\n@@ what @@\n-a\n+b\n", "malformed"],
  ["--- a/x\n+++ b/x\n@@ -1 +1 @@\n*a\n+b\n", "malformed"],
  ["diff --git a/x b/x\nnew file mode 120000\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+/etc\n", "unsupported"],
  ["diff --git a/x b/x\nindex 1..2\nGIT binary patch\nliteral 0\n", "unsupported"],
])("refuses in words what it cannot read %#", (diff, reason) => {
  expect(parseUnifiedDiff(diff)).toMatchObject({ ok: false, reason });
});

test("never throws, whatever the text", () => {
  const part = fc.constantFrom(
    "--- a/x\n",
    "+++ b/x\n",
    "@@ -1,2 +1 @@\n",
    "@@ -0,0 +1 @@\n",
    "-a\n",
    "+b\n",
    " c\n",
    "\n",
    "\\ No\n",
    "diff --git a/x b/x\n",
    '"',
    "rename from x\n",
  );
  fc.assert(
    fc.property(fc.array(part), (parts) => {
      const parsed = parseUnifiedDiff(parts.join(""));
      expect(parsed.ok || parsed.message !== "").toBe(true);
    }),
  );
});

test("applies what diff -u wrote, for any two texts", () => {
  const folder = mkdtempSync(join(tmpdir(), "polygym-diff-"));
  const text = fc.array(fc.constantFrom("a", "b", "", "c d"), { maxLength: 12 }).map((lines) => lines.join("\n"));
  try {
    fc.assert(
      fc.property(text, text, (before, after) => {
        fc.pre(before !== after && before !== "" && after !== "");
        writeFileSync(join(folder, "old"), before);
        writeFileSync(join(folder, "new"), after);
        expect(apply(before, runDiff(folder))).toEqual({ ok: true, text: after });
      }),
      { numRuns: 40 },
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** diff answers 1 when the files differ. */
function runDiff(folder: string): string {
  return execFileSync("sh", ["-c", "diff -u old new; test $? -le 1"], { cwd: folder, encoding: "utf8" });
}
