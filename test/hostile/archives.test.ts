import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { type Header, pack } from "tar-stream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { GymError } from "../../core/errors.ts";
import type { SandboxProvider } from "../../core/sandbox.ts";
import { applyUnifiedDiff } from "../../environments/frameworks/primitives/apply-patch.ts";
import { untar } from "../../environments/tasks/folder-archive.ts";
import { isContained } from "../../verifiers/clean-room/path-policy.ts";
import { readTar } from "../../verifiers/clean-room/tar-reader.ts";
import { openBox, openTestProvider } from "../acting.ts";

/** Archives and patches made to reach a file that is not theirs. They are read as data and never unpacked by a tool. */
const MIB = 1024 * 1024;
let provider: SandboxProvider;
beforeAll(async () => {
  provider = await openTestProvider();
});
afterAll(() => provider.close());

async function tarOf(...entries: (Partial<Header> & { name: string; data?: string })[]): Promise<Buffer> {
  const archive = pack();
  for (const { data, ...head } of entries) archive.entry(head, data ?? "");
  archive.finalize();
  return await buffer(archive);
}

const CLIMBING = [
  "../x",
  "a/../../x",
  "/etc/passwd",
  "a/./../../x",
  "..",
  "a\0b",
  "a//../../b",
  `${"d/".repeat(40)}../${"../".repeat(41)}x`,
];

test("an upload with a path that climbs is refused whole", async () => {
  expect((await untar(await tarOf({ name: "task/x", data: "1" }))).size).toBe(1);
  for (const name of CLIMBING.filter((path) => !path.includes("\0"))) // a name in an archive ends there
    await expect(untar(await tarOf({ name: "good", data: "1" }, { name, data: "2" })), name).rejects.toThrow(GymError);
  const extended = await tarOf({ name: "good", pax: { path: "../../climbed" }, data: "1" });
  await expect(untar(extended)).rejects.toThrow(GymError);
});

test("an upload with a link, a device or a pipe is refused whole", async () => {
  for (const type of ["symlink", "link", "character-device", "block-device", "fifo"] as const)
    await expect(untar(await tarOf({ name: "x", type, linkname: "/etc/shadow" })), type).rejects.toThrow(GymError);
});

test("an upload keeps no set-user-id bit, and the last of two files of a name", async () => {
  const tree = await untar(
    await tarOf({ name: "su", mode: 0o6755, data: "1" }, { name: "su", mode: 0o4755, data: "2" }),
  );
  expect([...tree.values()].map(({ mode }) => mode & 0o7000)).toEqual([0]);
});

test("an upload that unpacks without end is refused before it is held", async () => {
  const before = process.memoryUsage().rss;
  const layer = gzipSync(Buffer.alloc(60 * MIB));
  const bomb = Buffer.concat(Array.from({ length: 10 }, () => layer)); // 600 KiB that become more than any task may have
  await expect(untar(bomb)).rejects.toThrow(GymError);
  expect(process.memoryUsage().rss - before).toBeLessThan(1_400 * MIB);
});

test("an upload of any bytes is read or refused, and never more", async () => {
  const good = await tarOf({ name: "a/b", data: "content" }, { name: "c", data: "more" });
  await fc.assert(
    fc.asyncProperty(
      fc.nat(good.length - 1),
      fc.uint8Array({ maxLength: 40 }),
      fc.boolean(),
      async (at, bytes, zip) => {
        const broken = Buffer.from(good);
        Buffer.from(bytes).copy(broken, at);
        const tree = await untar(zip ? gzipSync(broken) : broken).catch((error: unknown) => error);
        if (tree instanceof Map) for (const path of tree.keys()) expect(path).not.toMatch(/^\/|(^|\/)\.\.(\/|$)|\0/);
        else expect(tree).toBeInstanceOf(GymError);
      },
    ),
    { numRuns: 300 },
  );
});

test("a submission of any bytes is read within its bounds or refused", async () => {
  const good = await tarOf({ name: "a", data: "content" }, { name: "l", type: "symlink", linkname: "a" });
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.uint8Array({ maxLength: 60 }), (at, bytes) => {
      const broken = Buffer.from(good);
      Buffer.from(bytes).copy(broken, at);
      try {
        for (const item of readTar(broken).items)
          if (item.type === "file") expect(item.data.length).toBeLessThan(good.length);
      } catch (error) {
        expect(error).toBeInstanceOf(GymError);
      }
    }),
    { numRuns: 2_000 },
  );
});

test("a submission's devices and hard links do not come out of its archive", async () => {
  const tar = await tarOf(
    { name: "hard", type: "link", linkname: "/etc/shadow" },
    { name: "node", type: "character-device" },
    { name: "pipe", type: "fifo" },
    { name: "kept", data: "1" },
  );
  const { items, refused } = readTar(tar);
  expect([items.map(({ path }) => path), refused.map(({ path }) => path)]).toEqual([
    ["kept"],
    ["hard", "node", "pipe"],
  ]);
  for (const path of CLIMBING) expect([path, isContained(path)]).toEqual([path, false]);
});

const PATCHES: Readonly<Record<string, string>> = {
  climbs: "--- /dev/null\n+++ b/../../../tmp/patched\n@@ -0,0 +1 @@\n+x\n",
  absolute: "--- /dev/null\n+++ /tmp/patched\n@@ -0,0 +1 @@\n+x\n",
  "renames out":
    "diff --git a/in b/../../tmp/patched\nsimilarity index 100%\nrename from in\nrename to ../../tmp/patched\n",
  "copies in": "diff --git a/../../etc/shadow b/own\nsimilarity index 100%\ncopy from ../../etc/shadow\ncopy to own\n",
  "makes a link":
    "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/tmp\n\\ No newline at end of file\n",
  binary: "diff --git a/b b/b\nnew file mode 100644\nGIT binary patch\nliteral 5\nMcmZQzWMT#Y01f~L\n",
  "quotes the way": '--- /dev/null\n+++ "b/\\056\\056/\\056\\056/tmp/patched"\n@@ -0,0 +1 @@\n+x\n',
};
for (const [name, patch] of Object.entries(PATCHES)) {
  test(`a patch that ${name} changes nothing`, async () => {
    await using sandbox = await openBox(provider);
    await sandbox.write("in", "x\n");
    const result = await applyUnifiedDiff(sandbox, patch);
    expect(result.ok ? "applied" : result.error).toMatch(/outside|unsupported|malformed/);
    expect((await sandbox.stat("/tmp/patched")).ok).toBe(false);
    const listed = await sandbox.list(".");
    expect(listed.ok && listed.value.map(({ path }) => path)).toEqual(["in"]);
  });
}

test("a patch through a link of the workspace stays in the sandbox", async () => {
  await using sandbox = await openBox(provider);
  await sandbox.exec({ argv: ["ln", "-s", "/etc", "dir"], timeoutMs: 10_000 });
  await applyUnifiedDiff(sandbox, "--- /dev/null\n+++ b/dir/patched\n@@ -0,0 +1 @@\n+x\n");
  expect(readdirSync("/etc")).not.toContain("patched");
});

test("the gym runs no git: hooks and filters of a repository are only files", () => {
  const root = join(import.meta.dirname, "../..");
  let seen = 0;
  for (const folder of ["core", "platform", "server", "workers", "environments", "verifiers", "docker"])
    for (const name of readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })) {
      if (!name.endsWith(".ts") || name.endsWith(".test.ts") || name === "container/runtimes.ts") continue; // asks its version, inside
      seen++;
      expect([name, /["'`]git["'`]/.test(readFileSync(join(root, folder, name), "utf8"))]).toEqual([name, false]);
    }
  expect(seen).toBeGreaterThan(100);
});
