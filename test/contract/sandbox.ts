import { expect } from "vitest";
import type { Sandbox, SandboxProvider, Snapshot } from "../../core/sandbox.ts";
import { workspaceDigest } from "../../core/submission.ts";
import { codeOf, decode, tarNames, until } from "./sandbox-tools.ts";

/** What a behaviour may use. Everything it opens beside `sandbox` it closes itself. */
export interface Bench {
  readonly provider: SandboxProvider;
  /** A fresh sandbox of image `host`, closed after the behaviour. */
  readonly sandbox: Sandbox;
}

export interface Behaviour {
  readonly name: string;
  run(bench: Bench): Promise<void>;
}

const behaviours: Behaviour[] = [];
function behaviour(name: string, run: (bench: Bench) => Promise<void>): void {
  behaviours.push({ name, run });
}

const T = 20_000;
const sh = (sandbox: Sandbox, script: string, timeoutMs = T) =>
  sandbox.exec({ argv: ["/bin/sh", "-c", script], timeoutMs });

/* ---- commands ---- */

behaviour("answers a command's exit code", async ({ sandbox }) => {
  expect((await sh(sandbox, "true")).exitCode).toBe(0);
  expect((await sh(sandbox, "exit 7")).exitCode).toBe(7);
});

behaviour("keeps standard output and standard error apart", async ({ sandbox }) => {
  const result = await sh(sandbox, "echo out; cat /nowhere");
  expect(decode(result.stdout)).toBe("out\n");
  expect(decode(result.stderr)).toContain("nowhere");
  expect(result.stdoutBytes).toBe(4);
});

behaviour("merges standard error into standard output when asked", async ({ sandbox }) => {
  const result = await sandbox.exec({
    argv: ["sh", "-c", "echo out; cat /nowhere; echo end"],
    timeoutMs: T,
    mergeOutput: true,
  });
  expect(decode(result.stdout)).toMatch(/^out\n.*nowhere.*\nend\n$/s);
  expect(result.stderrBytes).toBe(0);
});

behaviour("starts commands in /workspace", async ({ sandbox }) => {
  expect(decode((await sh(sandbox, "pwd")).stdout)).toBe("/workspace\n");
});

behaviour("starts a command in the folder that is asked for", async ({ sandbox }) => {
  const result = await sandbox.exec({ argv: ["sh", "-c", "pwd"], cwd: "/tmp", timeoutMs: T });
  expect(decode(result.stdout)).toBe("/tmp\n");
});

behaviour("passes the environment of the sandbox and of the command", async ({ provider }) => {
  await using sandbox = await provider.open({ image: "host", owner: "contract", env: { A: "1", B: "2" } });
  const result = await sandbox.exec({
    argv: ["sh", "-c", "echo $A $B $C $HOME"],
    env: { B: "3", C: "4" },
    timeoutMs: T,
  });
  expect(decode(result.stdout)).toBe("1 3 4 /root\n");
});

behaviour("passes arguments untouched by a shell", async ({ sandbox }) => {
  const result = await sandbox.exec({ argv: ["echo", "$HOME; `x`", "a  b", "*"], timeoutMs: T });
  expect(decode(result.stdout)).toBe("$HOME; `x` a  b *\n");
});

behaviour("feeds standard input and then ends it", async ({ sandbox }) => {
  const result = await sandbox.exec({ argv: ["cat"], stdin: "one\ntwo", timeoutMs: T });
  expect(decode(result.stdout)).toBe("one\ntwo");
});

behaviour("gives a command without input an empty one", async ({ sandbox }) => {
  const result = await sandbox.exec({ argv: ["cat"], timeoutMs: T });
  expect([result.exitCode, result.stdoutBytes]).toEqual([0, 0]);
});

behaviour("passes a megabyte through a command unchanged", async ({ sandbox }) => {
  const data = Buffer.from(Uint8Array.from({ length: 1_000_003 }, (_, i) => (i * 31) & 255));
  const result = await sandbox.exec({ argv: ["cat"], stdin: data, timeoutMs: T, maxOutputBytes: 2_000_000 });
  expect(Buffer.compare(result.stdout, data)).toBe(0);
});

behaviour("does not fail when a command does not read its input", async ({ sandbox }) => {
  const result = await sandbox.exec({ argv: ["true"], stdin: Buffer.alloc(3_000_000), timeoutMs: T });
  expect(result.exitCode).toBe(0);
});

behaviour("keeps the first and the last half of long output and counts all of it", async ({ sandbox }) => {
  await sandbox.write("long", `HEAD${"x".repeat(100_000)}TAIL`);
  const result = await sandbox.exec({ argv: ["cat", "long"], timeoutMs: T, maxOutputBytes: 1000 });
  const text = decode(result.stdout);
  expect(text).toHaveLength(1000);
  expect(text.startsWith("HEADx")).toBe(true);
  expect(text.endsWith("xTAIL")).toBe(true);
  expect(result.stdoutBytes).toBe(100_008);
});

behaviour("tells every chunk of output, also what the cap drops", async ({ sandbox }) => {
  await sandbox.write("long", "y".repeat(300_000));
  let seen = 0;
  const result = await sandbox.exec({
    argv: ["cat", "long"],
    timeoutMs: T,
    maxOutputBytes: 10,
    onOutput: (chunk) => {
      seen += chunk.data.length;
    },
  });
  expect(seen).toBe(300_000);
  expect(result.stdout).toHaveLength(10);
});

behaviour("ends a command at its time-out", async ({ sandbox }) => {
  const result = await sh(sandbox, "echo before; sleep 60", 300);
  expect(result.timedOut).toBe(true);
  expect(result.exitCode).toBeNull();
  expect(decode(result.stdout)).toBe("before\n");
  expect(result.durationMs).toBeLessThan(10_000);
});

behaviour("ends a command whose caller gives up, and throws the caller's reason", async ({ sandbox }) => {
  const control = new AbortController();
  const running = sandbox.exec({ argv: ["sleep", "60"], timeoutMs: 60_000 }, control.signal);
  control.abort(new Error("given up"));
  await expect(running).rejects.toThrow("given up");
  expect((await sh(sandbox, "true")).exitCode).toBe(0);
});

behaviour("answers 127 for a program that is not there", async ({ sandbox }) => {
  const result = await sandbox.exec({ argv: ["no-such-program"], timeoutMs: T });
  expect(result.exitCode).toBe(127);
  expect(decode(result.stderr)).toContain("no-such-program");
});

behaviour("refuses time-outs out of range", async ({ sandbox }) => {
  await expect(sandbox.exec({ argv: ["true"], timeoutMs: 0 })).rejects.toThrow(/timeoutMs must be/);
  await expect(sandbox.exec({ argv: ["true"], timeoutMs: 3_600_001 })).rejects.toThrow(/timeoutMs must be/);
});

behaviour("runs 32 commands at once", async ({ sandbox }) => {
  const results = await Promise.all(Array.from({ length: 32 }, (_, i) => sh(sandbox, `echo ${i}`)));
  expect(results.map((result) => decode(result.stdout))).toEqual(Array.from({ length: 32 }, (_, i) => `${i}\n`));
});

behaviour("spawns a command with open input and output", async ({ sandbox }) => {
  await using running = await sandbox.spawn({ argv: ["cat"], timeoutMs: T });
  await running.write("hel");
  await running.write("lo");
  await running.closeStdin();
  const result = await running.exit;
  expect([result.exitCode, decode(result.stdout)]).toEqual([0, "hello"]);
});

behaviour("tells how long its programs waited for a processor, or that nobody counts it", async ({ sandbox }) => {
  const running = await sandbox.spawn({ argv: ["sleep", "60"], timeoutMs: 60_000 });
  const before = await running.waitedMs();
  const after = await running.waitedMs();
  expect(typeof after).toBe(typeof before);
  expect(after ?? 0).toBeGreaterThanOrEqual(before ?? 0);
  await sandbox.close();
  expect(await running.waitedMs()).toBeNull();
});

behaviour("kills a spawned command, twice without harm", async ({ sandbox }) => {
  const running = await sandbox.spawn({ argv: ["sleep", "60"], timeoutMs: 60_000 });
  await running.kill();
  await running.kill();
  const result = await running.exit;
  expect([result.exitCode, result.signal, result.timedOut]).toEqual([null, "SIGKILL", false]);
});

/* ---- the persistent shell ---- */

behaviour("keeps folder and variables of a shell from run to run", async ({ sandbox }) => {
  await using shell = await sandbox.shell();
  await shell.run("cd /tmp; name=value", { timeoutMs: T });
  const result = await shell.run('pwd; echo "$name"', { timeoutMs: T });
  expect(decode(result.stdout)).toBe("/tmp\nvalue\n");
  expect(result.exited).toBe(false);
});

behaviour("answers the exit code of each run of a shell", async ({ sandbox }) => {
  await using shell = await sandbox.shell();
  expect((await shell.run("false", { timeoutMs: T })).exitCode).toBe(1);
  expect((await shell.run("true", { timeoutMs: T })).exitCode).toBe(0);
});

behaviour("opens a shell in the folder and with the environment that are asked for", async ({ sandbox }) => {
  await using shell = await sandbox.shell({ cwd: "/tmp", env: { X: "y" } });
  expect(decode((await shell.run("pwd; echo $X", { timeoutMs: T })).stdout)).toBe("/tmp\ny\n");
});

behaviour("ends a shell at its time-out and refuses the next run", async ({ sandbox }) => {
  await using shell = await sandbox.shell();
  const result = await shell.run("sleep 60", { timeoutMs: 300 });
  expect([result.timedOut, result.exited, result.exitCode]).toEqual([true, true, null]);
  expect(await codeOf(shell.run("true", { timeoutMs: T }))).toBe("sandbox_unavailable");
});

behaviour("says when a shell has exited", async ({ sandbox }) => {
  await using shell = await sandbox.shell();
  const result = await shell.run("exit 3", { timeoutMs: T });
  expect([result.exited, result.exitCode]).toEqual([true, 3]);
});

behaviour("runs a shell's commands one after the other", async ({ sandbox }) => {
  await using shell = await sandbox.shell();
  const results = await Promise.all([1, 2, 3].map((n) => shell.run(`echo ${n}`, { timeoutMs: T })));
  expect(results.map((result) => decode(result.stdout))).toEqual(["1\n", "2\n", "3\n"]);
});

behaviour("closes a shell twice without harm", async ({ sandbox }) => {
  const shell = await sandbox.shell();
  await shell.close();
  await shell.close();
  expect((await sh(sandbox, "true")).exitCode).toBe(0);
});

/* ---- files ---- */

behaviour("reads back what it wrote, byte for byte", async ({ sandbox }) => {
  const data = Uint8Array.from({ length: 256 }, (_, i) => i);
  expect(await sandbox.write("bytes", data)).toEqual({ ok: true, value: undefined });
  const read = await sandbox.read("bytes");
  expect(read.ok && [...read.value]).toEqual([...data]);
});

behaviour("takes relative paths from /workspace and makes missing parents", async ({ sandbox }) => {
  await sandbox.write("a/b/c.txt", "deep");
  const read = await sandbox.read("/workspace/a/b/c.txt");
  expect(read.ok && decode(read.value)).toBe("deep");
});

behaviour("replaces the whole file and keeps its mode", async ({ sandbox }) => {
  await sandbox.write("f", "a longer first text", { mode: 0o755 });
  await sandbox.write("f", "short");
  const [read, stat] = [await sandbox.read("f"), await sandbox.stat("f")];
  expect(read.ok && decode(read.value)).toBe("short");
  expect(stat.ok && stat.value).toEqual({ type: "file", size: 5, mode: 0o755 });
});

behaviour("writes an empty file", async ({ sandbox }) => {
  await sandbox.write("f", "before");
  expect((await sandbox.write("f", "")).ok).toBe(true);
  const read = await sandbox.read("f");
  expect(read.ok && read.value.length).toBe(0);
});

behaviour("moves ten megabytes both ways", async ({ sandbox }) => {
  const data = Buffer.alloc(10_000_000, "0123456789abcdef");
  expect((await sandbox.write("big", data)).ok).toBe(true);
  const read = await sandbox.read("big");
  expect(read.ok && Buffer.compare(read.value, data)).toBe(0);
});

behaviour("names what is wrong with a file as a value", async ({ sandbox }) => {
  await sandbox.write("file", "x");
  const errorOf = (result: { ok: boolean; error?: string }): string | undefined => result.error;
  expect(errorOf(await sandbox.read("absent"))).toBe("not_found");
  expect(errorOf(await sandbox.read("/workspace"))).toBe("not_a_file");
  expect(errorOf(await sandbox.write("/workspace", "x"))).toBe("not_a_file");
  expect(errorOf(await sandbox.list("file"))).toBe("not_a_directory");
  expect(errorOf(await sandbox.stat("absent"))).toBe("not_found");
  expect(errorOf(await sandbox.remove("absent"))).toBe("not_found");
  expect(errorOf(await sandbox.read("nul\0byte"))).toBe("invalid_path");
  expect(errorOf(await sandbox.write("file/below", "x"))).toBe("not_a_directory");
  expect(errorOf(await sandbox.read("file", { maxBytes: 0 }))).toBe("too_large");
});

behaviour("lists sorted by bytes, to the depth that is asked for", async ({ sandbox }) => {
  for (const path of ["b", "a/x/deep", "a.b", "Z"]) await sandbox.write(path, "1");
  const names = async (depth: number): Promise<unknown> => {
    const listed = await sandbox.list(".", { depth });
    return listed.ok && listed.value.map((entry) => entry.path);
  };
  expect(await names(1)).toEqual(["Z", "a", "a.b", "b"]);
  expect(await names(2)).toEqual(["Z", "a", "a.b", "a/x", "b"]);
  expect(await names(9)).toEqual(["Z", "a", "a.b", "a/x", "a/x/deep", "b"]);
});

behaviour("refuses to list more entries than it was told", async ({ sandbox }) => {
  for (const name of ["1", "2", "3"]) await sandbox.write(name, "");
  const listed = await sandbox.list(".", { maxEntries: 2 });
  expect(listed.ok ? "listed" : listed.error).toBe("too_large");
});

behaviour("lists links as links and follows them when reading", async ({ sandbox }) => {
  await sandbox.write("target", "through");
  await sh(sandbox, "ln -s target link; ln -s /workspace/nowhere broken");
  const listed = await sandbox.list(".");
  expect(listed.ok && listed.value.map((entry) => entry.type)).toEqual(["symlink", "symlink", "file"]);
  const read = await sandbox.read("link");
  expect(read.ok && decode(read.value)).toBe("through");
  const broken = await sandbox.read("broken");
  expect(broken.ok ? "read" : broken.error).toBe("not_found");
});

behaviour("removes a file and a whole folder, not what a link points to", async ({ sandbox }) => {
  await sandbox.write("dir/sub/file", "1");
  await sandbox.write("kept/file", "2");
  await sh(sandbox, "ln -s ../kept dir/link");
  expect((await sandbox.remove("dir")).ok).toBe(true);
  expect((await sandbox.stat("dir")).ok).toBe(false);
  expect((await sandbox.stat("kept/file")).ok).toBe(true);
});

behaviour("shows a command what was written, and the writer what a command made", async ({ sandbox }) => {
  await sandbox.write("in", "from outside");
  await sh(sandbox, "cp in out");
  const read = await sandbox.read("out");
  expect(read.ok && decode(read.value)).toBe("from outside");
});

behaviour("answers no_space when the disk is full, and keeps what was there", async ({ provider }) => {
  await using sandbox = await provider.open({ image: "host", owner: "contract", limits: { diskBytes: 4_000_000 } });
  await sandbox.write("f", "precious");
  const full = await sandbox.write("f", Buffer.alloc(8_000_000));
  expect(full.ok ? "written" : full.error).toBe("no_space");
  const read = await sandbox.read("f");
  expect(read.ok && decode(read.value)).toBe("precious");
});

behaviour("answers no_space when the file quota is used up", async ({ provider }) => {
  await using sandbox = await provider.open({ image: "host", owner: "contract", limits: { inodes: 60 } });
  let last = "";
  for (let i = 0; i < 80 && last === ""; i++) {
    const written = await sandbox.write(`f${i}`, "");
    if (!written.ok) last = written.error;
  }
  expect(last).toBe("no_space");
});

/* ---- snapshots ---- */

async function withBase(provider: SandboxProvider, run: (base: Snapshot) => Promise<void>): Promise<void> {
  const maker = await provider.open({ image: "host", owner: "contract" });
  await maker.write("kept.txt", "kept");
  await maker.write("dir/changed.txt", "before");
  await maker.write("gone.txt", "gone");
  await maker.write("old/inner.txt", "inner");
  const base = await maker.freeze();
  try {
    await run(base);
  } finally {
    await provider.release(base);
  }
}

behaviour("opens a sandbox from a frozen state", async ({ provider }) => {
  await withBase(provider, async (base) => {
    await using child = await provider.open({ image: "host", from: base, owner: "contract" });
    const read = await child.read("kept.txt");
    expect(read.ok && decode(read.value)).toBe("kept");
  });
});

behaviour("forks a frozen state into sandboxes that do not see each other", async ({ provider }) => {
  await withBase(provider, async (base) => {
    const children = await provider.fork(base, 3, { owner: "contract" });
    await Promise.all(children.map((child, i) => child.write("kept.txt", `child ${i}`)));
    const reads = await Promise.all(children.map((child) => child.read("kept.txt")));
    expect(reads.map((read) => read.ok && decode(read.value))).toEqual(["child 0", "child 1", "child 2"]);
    await Promise.all(children.map((child) => child.close()));
  });
});

behaviour("closes a sandbox by freezing it", async ({ provider }) => {
  const sandbox = await provider.open({ image: "host", owner: "contract" });
  const snapshot = await sandbox.freeze();
  expect(await codeOf(sandbox.exec({ argv: ["true"], timeoutMs: T }))).toBe("sandbox_unavailable");
  await sandbox.close();
  expect(provider.holds(snapshot)).toBe(true);
  await provider.release(snapshot);
  expect(provider.holds(snapshot)).toBe(false);
});

behaviour("names the programs that a freeze ends", async ({ provider }) => {
  const sandbox = await provider.open({ image: "host", owner: "contract" });
  await sandbox.shell();
  expect(await sandbox.programs()).toEqual({ count: 0, commands: [] });
  await sandbox.spawn({ argv: ["sleep", "60"], timeoutMs: 60_000 });
  await until("sleep runs", async () => (await sandbox.programs())?.commands.join() === "sleep");
  const snapshot = await sandbox.freeze();
  expect(snapshot.lost).toEqual({ count: 1, commands: ["sleep"] });
  await provider.release(snapshot);
});

behaviour("names no program that has ended", async ({ provider }) => {
  const sandbox = await provider.open({ image: "host", owner: "contract" });
  await sh(sandbox, "true");
  const snapshot = await sandbox.freeze();
  expect(snapshot.lost).toEqual({ count: 0, commands: [] });
  await provider.release(snapshot);
});

behaviour(
  "keeps a released state's files for the sandbox that stands on it, also when that is frozen",
  async ({ provider }) => {
    await withBase(provider, async (base) => {
      const first = await provider.open({ image: "host", from: base, owner: "contract" });
      await first.write("first", "1");
      const below = await first.freeze();
      const second = await provider.open({ image: "host", from: below, owner: "contract" });
      await provider.release(below);
      await second.write("second", "2");
      const above = await second.freeze();
      await using third = await provider.open({ image: "host", from: above, owner: "contract" });
      expect(decode((await sh(third, "cat first second kept.txt")).stdout)).toBe("12kept");
      await third.close();
      await provider.release(above);
    });
  },
);

/** Digest of the workspace that `change` leaves of the base. */
async function digestOf(
  provider: SandboxProvider,
  base: Snapshot,
  change: (sandbox: Sandbox) => Promise<unknown>,
  root = "/workspace",
): Promise<string> {
  const sandbox = await provider.open({ image: "host", from: base, owner: "contract" });
  await change(sandbox);
  const snapshot = await sandbox.freeze();
  const done = await provider.export(base, snapshot, { root, maxBytes: 1e6, maxEntries: 100 });
  await provider.release(snapshot);
  if (!done.ok) throw new Error(done.message);
  return workspaceDigest(done.value);
}

behaviour(
  "gives equal changes an equal workspace digest, in whatever order and from whatever root",
  async ({ provider }) => {
    await withBase(provider, async (base) => {
      const changes = ["echo a > a", "rm gone.txt", "mkdir made", "ln -s a link", "echo after > dir/changed.txt"];
      const one = await digestOf(provider, base, (sandbox) => sh(sandbox, changes.join("; ")));
      const again = (sandbox: Sandbox) =>
        sh(sandbox, `echo x > a; mkdir gone; ${changes.toReversed().join("; ")}; rm -r gone`);
      expect(await digestOf(provider, base, again)).toBe(one);
      expect(
        await digestOf(provider, base, (sandbox) => sh(sandbox, `${changes.join("; ")}; echo > /tmp/x`), "/"),
      ).toBe(one);
      const nothing = await digestOf(provider, base, (sandbox) => sh(sandbox, "touch kept.txt"));
      const others = ["echo b > a", "rm kept.txt", "mkdir a", "ln -s b a", "touch a"];
      const digests = await Promise.all(
        others.map((other) => digestOf(provider, base, (sandbox) => sh(sandbox, other))),
      );
      expect(new Set([one, nothing, ...digests]).size).toBe(2 + others.length);
    });
  },
);

behaviour("exports exactly what changed since the base", async ({ provider }) => {
  await withBase(provider, async (base) => {
    const child = await provider.open({ image: "host", from: base, owner: "contract" });
    await sh(
      child,
      "touch kept.txt; echo after > dir/changed.txt; rm gone.txt; rm -r old; mkdir -p new/empty; ln -s kept.txt link",
    );
    await child.write("new/file", "made", { mode: 0o755 });
    const snapshot = await child.freeze();
    const done = await provider.export(base, snapshot, { root: "/workspace", maxBytes: 1e6, maxEntries: 100 });
    await provider.release(snapshot);
    if (!done.ok) throw new Error(done.message);
    expect(done.value.manifest.map(({ path, type, size }) => [path, type, size])).toEqual([
      ["dir/changed.txt", "file", 6],
      ["gone.txt", "deleted", 0],
      ["link", "symlink", 0],
      ["new", "directory", 0],
      ["new/empty", "directory", 0],
      ["new/file", "file", 4],
      ["old", "deleted", 0],
    ]);
    expect(tarNames(done.value.tar)).toEqual(["dir/changed.txt", "link", "new/", "new/empty/", "new/file"]);
    expect(done.value.manifest.find((entry) => entry.path === "new/file")?.mode).toBe(0o755);
    expect(done.value.refused).toEqual([]);
  });
});

behaviour("exports nothing when nothing changed", async ({ provider }) => {
  await withBase(provider, async (base) => {
    const child = await provider.open({ image: "host", from: base, owner: "contract" });
    await sh(child, "touch kept.txt; cat kept.txt > same; mv same kept.txt");
    const snapshot = await child.freeze();
    const done = await provider.export(base, snapshot, { root: "/workspace", maxBytes: 1e6, maxEntries: 100 });
    await provider.release(snapshot);
    expect(done.ok && done.value.manifest).toEqual([]);
  });
});

behaviour("gives the same tar for the same changes", async ({ provider }) => {
  await withBase(provider, async (base) => {
    const tars: Uint8Array[] = [];
    for (const order of [
      ["x", "y"],
      ["y", "x"],
    ]) {
      const child = await provider.open({ image: "host", from: base, owner: "contract" });
      for (const name of order) await child.write(name, name);
      const snapshot = await child.freeze();
      const done = await provider.export(base, snapshot, { root: "/workspace", maxBytes: 1e6, maxEntries: 100 });
      await provider.release(snapshot);
      if (done.ok) tars.push(done.value.tar);
    }
    expect(tars).toHaveLength(2);
    expect(Buffer.compare(tars[0] as Uint8Array, tars[1] as Uint8Array)).toBe(0);
  });
});

behaviour("answers too_large for an export beyond its bounds", async ({ provider }) => {
  await withBase(provider, async (base) => {
    const child = await provider.open({ image: "host", from: base, owner: "contract" });
    await child.write("one", "x".repeat(1000));
    await child.write("two", "");
    const snapshot = await child.freeze();
    const bytes = await provider.export(base, snapshot, { root: "/workspace", maxBytes: 999, maxEntries: 10 });
    const entries = await provider.export(base, snapshot, { root: "/workspace", maxBytes: 1e6, maxEntries: 1 });
    await provider.release(snapshot);
    expect([bytes.ok ? "" : bytes.error, entries.ok ? "" : entries.error]).toEqual(["too_large", "too_large"]);
  });
});

behaviour("refuses a snapshot that was released", async ({ provider }) => {
  const sandbox = await provider.open({ image: "host", owner: "contract" });
  const snapshot = await sandbox.freeze();
  await provider.release(snapshot);
  await provider.release(snapshot);
  expect(await codeOf(provider.open({ image: "host", from: snapshot, owner: "contract" }))).toBe("sandbox_lost");
});

/* ---- working folders ---- */

behaviour("a working folder is another name of the workspace, in frozen states too", async ({ provider }) => {
  const first = await provider.open({ image: "host", workdir: "/srv/app", owner: "contract" });
  expect((await first.write("/srv/app/kept.txt", "kept")).ok).toBe(true);
  const read = await first.read("/workspace/kept.txt");
  expect(read.ok && decode(read.value)).toBe("kept");
  const base = await first.freeze();
  const second = await provider.open({ image: "host", from: base, owner: "contract" });
  expect((await second.write("/srv/app/sub/new.txt", "new")).ok).toBe(true);
  const listed = await second.list("/srv/app", { depth: 2 });
  expect(listed.ok && listed.value.map(({ path }) => path)).toEqual(["kept.txt", "sub", "sub/new.txt"]);
  expect(decode((await sh(second, "cd /srv/app && cat kept.txt sub/new.txt")).stdout)).toBe("keptnew");
  const end = await second.freeze();
  const changes = await provider.export(base, end, { root: "/workspace", maxBytes: 1_000, maxEntries: 10 });
  expect(changes.ok && changes.value.manifest.map(({ path }) => path)).toEqual(["sub", "sub/new.txt"]);
  await provider.release(end);
  await provider.release(base);
});

/* ---- life ---- */

behaviour("keeps two sandboxes apart", async ({ provider, sandbox }) => {
  await using other = await provider.open({ image: "host", owner: "contract" });
  await sandbox.write("/tmp/mine", "1");
  expect((await other.stat("/tmp/mine")).ok).toBe(false);
});

behaviour("closes twice without harm and refuses use afterwards", async ({ provider }) => {
  const sandbox = await provider.open({ image: "host", owner: "contract" });
  await sandbox.close();
  await sandbox.close();
  expect(await codeOf(sandbox.exec({ argv: ["true"], timeoutMs: T }))).toBe("sandbox_unavailable");
});

behaviour("counts what is open", async ({ provider }) => {
  const before = await provider.counts();
  const sandbox = await provider.open({ image: "host", owner: "contract" });
  expect((await provider.counts()).sandboxes).toBe(before.sandboxes + 1);
  await sandbox.close();
  expect(await provider.counts()).toEqual(before);
});

behaviour("tells how long a start waited for others apart from how long it took", async ({ provider }) => {
  const opened = await Promise.all(
    Array.from({ length: 12 }, () => provider.open({ image: "host", owner: "contract" })),
  );
  for (const { opening } of opened) expect(Math.min(opening.queuedMs, opening.startMs)).toBeGreaterThanOrEqual(0);
  if (provider.tier !== "fake") expect(Math.max(...opened.map(({ opening }) => opening.queuedMs))).toBeGreaterThan(1);
  await Promise.all(opened.map((sandbox) => sandbox.close()));
});

behaviour("names the image with a digest that does not change", async ({ provider }) => {
  const [one, two] = [await provider.image("host"), await provider.image("host")];
  expect(one.digest).toMatch(/^sha256:[0-9a-f]{64}$/);
  expect(two).toEqual(one);
});

behaviour("says what it enforces and what it does not", async ({ provider }) => {
  const check = await provider.selfCheck();
  expect(check.tier).toBe(provider.tier);
  expect(check.enforced.length).toBeGreaterThan(0);
  for (const gap of check.missing) expect(gap.advice).not.toBe("");
});

export const sandboxBehaviours: readonly Behaviour[] = behaviours;
