import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Sandbox, SandboxProvider } from "../../../core/sandbox.ts";
import { fill, openBox, openTestProvider, textAt } from "../../../test/acting.ts";
import { applyUnifiedDiff } from "./apply-patch.ts";

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

const change = "--- a/a.txt\n+++ b/a.txt\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n";

test("changes, adds, deletes and renames, as git wrote it", async () => {
  const files = {
    "keep.txt": "a\nb\nc\n",
    "gone.txt": "x\n",
    "old name.txt": "1\n2\n3\n4\n5\n",
    "end.txt": "no break",
  };
  const diff = gitDiff(files, (folder) => {
    writeFileSync(join(folder, "keep.txt"), "a\nB\nc\n");
    rmSync(join(folder, "gone.txt"));
    renameSync(join(folder, "old name.txt"), join(folder, "näw.txt"));
    mkdirSync(join(folder, "sub"));
    writeFileSync(join(folder, "sub/run.sh"), "#!/bin/sh\n", { mode: 0o755 });
    writeFileSync(join(folder, "end.txt"), "no break either");
  });
  await fill(sandbox, files);
  const result = await applyUnifiedDiff(sandbox, diff);
  expect(result).toEqual({
    ok: true,
    files: expect.arrayContaining([
      { path: "keep.txt", change: "modified" },
      { path: "gone.txt", change: "deleted" },
      { path: "näw.txt", change: "renamed", from: "old name.txt" },
      { path: "sub/run.sh", change: "added" },
      { path: "end.txt", change: "modified" },
    ]),
  });
  expect(await textAt(sandbox, "keep.txt")).toBe("a\nB\nc\n");
  expect(await textAt(sandbox, "gone.txt")).toBeNull();
  expect(await textAt(sandbox, "näw.txt")).toBe(files["old name.txt"]);
  expect(await textAt(sandbox, "end.txt")).toBe("no break either");
  expect(await sandbox.stat("/workspace/sub/run.sh")).toMatchObject({ ok: true, value: { mode: 0o755 } });
});

test("a path by the workspace's other name is the same file, and none where it has no such name", async () => {
  await fill(sandbox, { "a.txt": "one\ntwo\n" });
  const named = change.replace("a/a.txt", "/app/a.txt").replace("b/a.txt", "/app/a.txt");
  expect(await applyUnifiedDiff(sandbox, named)).toMatchObject({ ok: false, error: "outside" });
  expect(await applyUnifiedDiff(sandbox, named, { alias: "/app" })).toEqual({
    ok: true,
    files: [{ path: "a.txt", change: "modified" }],
  });
  expect(await textAt(sandbox, "a.txt")).toBe("one\n2\n");
  const out = named.replaceAll("/app/a.txt", "/app/../etc/passwd");
  expect(await applyUnifiedDiff(sandbox, out, { alias: "/app" })).toMatchObject({ ok: false, error: "outside" });
});

function gitDiff(files: Readonly<Record<string, string>>, edit: (folder: string) => void): string {
  const folder = mkdtempSync(join(tmpdir(), "polygym-git-"));
  const git = (...args: string[]) =>
    execFileSync("git", ["-C", folder, "-c", "user.name=t", "-c", "user.email=t@t", ...args], { encoding: "utf8" });
  try {
    git("init", "-q");
    for (const [path, text] of Object.entries(files)) writeFileSync(join(folder, path), text);
    git("add", "-A");
    git("commit", "-qm", "base");
    edit(folder);
    git("add", "-A");
    return git("diff", "--cached", "-M");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("a plain diff under another root", async () => {
  await fill(sandbox, { "in/a.txt": "one\ntwo\n" });
  expect(await applyUnifiedDiff(sandbox, change, { root: "/workspace/in" })).toMatchObject({ ok: true });
  expect(await textAt(sandbox, "in/a.txt")).toBe("one\n2\n");
});

test("two parts of a diff may change the same file", async () => {
  await fill(sandbox, { "a.txt": "one\ntwo\n" });
  const second = change.replace("-two\n+2", "-2\n+zwei");
  expect(await applyUnifiedDiff(sandbox, change + second)).toMatchObject({ ok: true });
  expect(await textAt(sandbox, "a.txt")).toBe("one\nzwei\n");
});

test("nothing is written when one part does not fit", async () => {
  await fill(sandbox, { "a.txt": "one\ntwo\n", "b.txt": "other\n" });
  const result = await applyUnifiedDiff(sandbox, change + change.replaceAll("a.txt", "b.txt"));
  expect(result).toMatchObject({ ok: false, error: "mismatch", path: "b.txt" });
  expect(await textAt(sandbox, "a.txt")).toBe("one\ntwo\n");
});

const added = (path: string): string => `--- /dev/null\n+++ ${path}\n@@ -0,0 +1 @@\n+x\n`;

test.each([
  ["no diff", "malformed"],
  [change.replaceAll("a.txt", "none.txt"), "missing"],
  [added("b/a.txt"), "exists"],
  [added("b/../../etc/cron"), "outside"],
  [added("/etc/cron"), "outside"],
  [change.replaceAll("a.txt", "bin"), "unsupported"],
  ["--- a/a.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-one\n", "mismatch"],
])("an error is a value %#", async (diff, error) => {
  await fill(sandbox, { "a.txt": "one\ntwo\n", bin: Uint8Array.of(255) });
  expect(await applyUnifiedDiff(sandbox, diff)).toMatchObject({ ok: false, error });
});
