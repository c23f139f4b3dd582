import { readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { expect } from "vitest";
import type { Sandbox, SandboxProvider, Snapshot } from "../../core/sandbox.ts";
import type { Bench } from "../contract/sandbox.ts";
import { decode, tarNames } from "../contract/sandbox-tools.ts";
import { type Attack, bash, type Control, inFresh, MIB, outOf, shows, T } from "./attack.ts";

/** Programs that want the worker's file operations, or the exporter, to read or write for them. */
const cases: Attack[] = [];
function attack(name: string, about: { of: number[]; control: Control }, run: (bench: Bench) => Promise<void>): void {
  cases.push({ name, ...about, run });
}

attack(
  "follows links only inside itself",
  { of: [27], control: shows("ln -s ../../../../../.. out; head -c 5 out/etc/passwd", /root:/) },
  async ({ sandbox }) => {
    await bash(sandbox, "ln -s / up; ln -s ../../../../../.. out; ln -s /etc/passwd account");
    const read = await sandbox.read("account");
    expect(read.ok && decode(read.value)).toMatch(/^root:x:0:0/);
    expect(readFileSync("/etc/passwd", "utf8")).not.toBe(read.ok && decode(read.value));
    await sandbox.write("out/tmp/escaped-by-polygym-test", "x");
    await expect(readdir("/tmp")).resolves.not.toContain("escaped-by-polygym-test");
  },
);

const NAME = "polygym-path-test";
attack(
  "names that climb, that are absolute or that are written oddly stay inside",
  {
    of: [27],
    control: shows(`mkdir a; echo x > a/../../../../../../../../../../../tmp/${NAME}; rm -v /tmp/${NAME}`, /removed/),
  },
  async ({ sandbox }) => {
    for (const path of [
      `../../../../../../tmp/${NAME}`,
      `a/../../../tmp/${NAME}`,
      `/tmp/../../tmp/${NAME}`,
      `//tmp//${NAME}`,
      `..\\..\\${NAME}`,
      `%2e%2e/${NAME}`,
      `/proc/1/root/tmp/${NAME}`,
      `/proc/self/cwd/../../tmp/${NAME}`,
      `/dev/fd/../../${NAME}`,
      `${NAME}\0/../../tmp`,
      `/dev/shm/../../tmp/${NAME}`,
    ])
      await sandbox.write(path, "x");
    for (const folder of ["/", "/tmp", "/dev/shm"])
      expect((await readdir(folder)).filter((name) => name.includes(NAME))).toEqual([]);
    expect(await outOf(sandbox, "echo alive")).toBe("alive");
  },
);

attack(
  "a link to a file of the image gives no right to change its owner or mode outside",
  { of: [27], control: shows("cp /etc/passwd p; ln -s p link; chmod 4777 link; stat -c %a p", /4777/) },
  async ({ sandbox }) => {
    const before = readFileSync("/etc/passwd");
    await bash(
      sandbox,
      "ln -s /etc/passwd a; ln /etc/passwd b; ln -s /usr/bin/env c; chmod 4777 a b c; chown 1000 a b c",
    );
    await sandbox.write("a", "changed");
    await sandbox.write("c", "changed");
    expect(readFileSync("/etc/passwd").equals(before)).toBe(true);
    expect(readFileSync("/usr/bin/env").subarray(1, 4).toString()).toBe("ELF");
  },
);

attack(
  "cannot race the worker out with a folder that becomes a link",
  { of: [27], control: shows("mkdir t d; rm -r d; ln -s t d; echo x > d/raced; ls t", /raced/) },
  async ({ sandbox }) => {
    const swap = await sandbox.spawn({
      argv: ["bash", "-c", "mkdir -p real; while :; do rm -rf d; mkdir d; rm -rf d; ln -s /etc d; done 2>/dev/null"],
      timeoutMs: T,
    });
    for (let i = 0; i < 300; i++) await sandbox.write(`d/raced-${i}`, "x");
    await swap.kill();
    expect(readFileSync("/etc/passwd", "utf8")).toContain("root");
    expect((await readdir("/etc")).some((name) => name.startsWith("raced-"))).toBe(false);
  },
);

attack(
  "a file that grows while it is read is answered within the bound",
  {
    of: [28],
    control: shows("(head -c 100M /dev/zero > f) & sleep 0.05; head -c 1 f | wc -c; wait; stat -c %s f", /104857600/),
  },
  async ({ sandbox }) => {
    await using writer = await sandbox.spawn({
      argv: ["bash", "-c", "while :; do head -c 1M /dev/zero >> f; [ $(stat -c %s f) -gt 100000000 ] && : > f; done"],
      timeoutMs: T,
    });
    for (let i = 0; i < 50; i++) {
      const read = await sandbox.read("f", { maxBytes: MIB });
      if (read.ok) expect(read.value.length).toBeLessThanOrEqual(MIB);
      else expect(["too_large", "not_found"]).toContain(read.error);
    }
    await writer.kill();
  },
);

/** Freezes an empty base, runs the script over it and exports what it changed. */
async function exported(provider: SandboxProvider, script: string, base?: (sandbox: Sandbox) => Promise<unknown>) {
  const first = await provider.open({ image: "host", owner: "hostile" });
  await base?.(first);
  const old: Snapshot = await first.freeze();
  const second = await provider.open({ image: "host", from: old, owner: "hostile" });
  await bash(second, script);
  const snapshot = await second.freeze();
  try {
    return await provider.export(old, snapshot, { root: "/workspace", maxBytes: 1e7, maxEntries: 100 });
  } finally {
    await provider.release(snapshot);
    await provider.release(old);
  }
}

attack(
  "exports no device, socket or set-user-id program",
  {
    of: [29, 72],
    control: shows("cp /bin/true a; chmod 6755 a; mkfifo b; tar -cf t a b; tar -tvf t", /rwsr-sr-x[\s\S]*prw/),
  },
  async ({ provider }) => {
    const done = await exported(
      provider,
      "cp /bin/true a; chmod 6755 a; mkfifo b; ln -s /etc/shadow c; mkdir -m 7777 d; mkdir d/..x",
    );
    if (!done.ok) throw new Error(done.message);
    expect(done.value.manifest.map(({ path, mode }) => [path, mode & 0o7000])).toEqual([
      ["a", 0],
      ["c", 0],
      ["d", 0],
      ["d/..x", 0],
    ]);
    expect(done.value.refused.map(({ path }) => path)).toEqual(["a", "b", "d", "d/..x"]);
  },
);

attack(
  "cannot make the exporter read outside by replacing the root with a link",
  { of: [29, 72], control: shows("mkdir d; rm -r d; ln -s /etc d; tar -C d -cf t passwd && tar -tf t", /passwd/) },
  async ({ provider }) => {
    const first = await provider.open({ image: "host", owner: "hostile" });
    await first.write("dir/file", "1");
    const base = await first.freeze();
    const second = await provider.open({ image: "host", from: base, owner: "hostile" });
    const links = "rm -rf /workspace/dir; ln -s /new /workspace/dir; ln -s /old /workspace/o; ln -s /l0 /workspace/l";
    await bash(second, `cd /; ${links}`);
    const snapshot = await second.freeze();
    const done = await provider.export(base, snapshot, { root: "/workspace", maxBytes: 1e7, maxEntries: 100 });
    const inside = await provider.export(base, snapshot, { root: "/workspace/dir", maxBytes: 1e7, maxEntries: 100 });
    await provider.release(snapshot);
    await provider.release(base);
    expect(done.ok && done.value.manifest.map(({ path, type }) => [path, type])).toEqual([
      ["dir", "symlink"],
      ["l", "symlink"],
      ["o", "symlink"],
    ]);
    expect(inside.ok).toBe(false);
  },
);

attack(
  "exports sparse terabytes and too many files as too large",
  { of: [5, 29, 72], control: shows("truncate -s 1T s; stat -c %s s", /1099511627776/) },
  async ({ provider }) => {
    const sparse = await exported(provider, "truncate -s 1T s || truncate -s 200M s");
    expect(sparse.ok ? "exported" : sparse.error).toBe("too_large");
    const many = await exported(provider, "seq 2000 | xargs touch");
    expect(many.ok ? "exported" : many.error).toBe("too_large");
  },
);

attack(
  "names with line breaks, bad bytes or great length break no list and no archive",
  { of: [6, 29, 72], control: shows("touch $'a\\nb'; ls | wc -l", /2/) },
  async ({ provider }) => {
    const long = "x".repeat(250);
    const done = await exported(
      provider,
      `touch $'a\\nb' $'\\xff' ${long}; mkdir -p ${long}_d/${long}; touch ${long}_d/${long}/${long}`,
    );
    if (!done.ok) throw new Error(done.message);
    const names = done.value.manifest.map(({ path }) => path);
    expect(names).toEqual([long, `${long}_d`, `${long}_d/${long}`, `${long}_d/${long}/${long}`]);
    expect(tarNames(done.value.tar).some((name) => name.includes("\n"))).toBe(false);
    expect(done.value.refused).toHaveLength(2);
  },
);

/** What a program could write to make a later overlay show another tree. */
const OVERLAY_SIGNS = `python3 -c '
import os
for path in ("kept", "."):
  for name in ("user.overlay.opaque", "user.overlay.redirect", "user.overlay.metacopy", "user.overlay.whiteout", "trusted.overlay.opaque", "trusted.overlay.redirect", "user.overlay.overlay.opaque"):
    for value in (b"y", b"/etc"):
      try: os.setxattr(path, name, value); print("set", name)
      except OSError: pass
try: os.mknod("kept/file", 0o20000, 0); print("whiteout")
except OSError: pass'`;

attack(
  "writes nothing that brings a deleted file back, hides one, or redirects a folder in a later sandbox",
  { of: [73, 77], control: shows(`mkdir kept; ${OVERLAY_SIGNS}`, /trusted.overlay.opaque[\s\S]*whiteout/) },
  async ({ provider }) => {
    const first = await provider.open({ image: "host", owner: "hostile" });
    await bash(first, "mkdir kept gone; echo 1 > kept/file; echo 2 > gone/test");
    const base = await first.freeze();
    const second = await provider.open({ image: "host", from: base, owner: "hostile" });
    await bash(second, `rm -r gone; mkdir gone; touch gone/new; touch kept/mark; ${OVERLAY_SIGNS}`);
    const changed = await second.freeze();
    await using third = await provider.open({ image: "host", from: changed, owner: "hostile" });
    expect(await outOf(third, "cat kept/file; ls gone; ls kept")).toBe("1\nnew\nfile\nmark");
    await third.close();
    await provider.release(changed);
    await provider.release(base);
  },
);

attack(
  "a frozen state does not change while others stand on it",
  { of: [77], control: { none: "a live upper folder as somebody's layer is nothing that the port can ask for" } },
  async ({ provider }) => {
    const first = await provider.open({ image: "host", owner: "hostile" });
    await first.write("f", "1");
    const base = await first.freeze();
    const [a, b] = await provider.fork(base, 2, { owner: "hostile" });
    if (!a || !b) throw new Error("no forks");
    await bash(a, "echo 2 > f; rm -rf /workspace/*");
    expect(await outOf(b, "cat f")).toBe("1");
    await a.close();
    await b.close();
    await provider.release(base);
  },
);

attack(
  "an upload counts against the quota, too",
  { of: [5, 63], control: shows("head -c 6M /dev/zero > f; stat -c %s f", /6291456/) },
  (bench) =>
    inFresh(bench, { diskBytes: 4 * MIB }, async (sandbox) => {
      const written = await sandbox.write("upload", Buffer.alloc(6 * MIB));
      expect(written.ok ? "" : written.error).toBe("no_space");
    }),
);

attack(
  "shell text in names, folders and variables is text",
  { of: [46], control: shows("name='$(touch hit)'; eval \"echo $name\"; ls", /hit/) },
  async ({ provider, sandbox }) => {
    const evil = "$(touch /workspace/hit);`touch /workspace/hit`\n-rf";
    const result = await sandbox.exec({ argv: ["echo", "-n", evil], env: { EVIL: evil }, timeoutMs: T });
    expect(decode(result.stdout)).toBe(evil);
    expect((await sandbox.exec({ argv: ["true"], cwd: `/${evil}`, timeoutMs: T })).exitCode).toBe(126);
    await sandbox.write(evil.replaceAll("/", "_"), "x");
    await sandbox.remove("-rf");
    expect((await sandbox.stat("hit")).ok).toBe(false);
    for (const image of ["../../etc", "host;id", "--privileged", "host\n", ""])
      await expect(provider.open({ image, owner: "hostile" })).rejects.toThrow();
    await using other = await provider.open({ image: "host", owner: "$(id)/../x --privileged" });
    expect(await outOf(other, "echo alive")).toBe("alive");
  },
);

export const fileCases: readonly Attack[] = cases;
