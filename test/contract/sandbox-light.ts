import { createHash } from "node:crypto";
import { expect } from "vitest";
import type { Sandbox } from "../../core/sandbox.ts";
import type { Behaviour, Bench } from "./sandbox.ts";
import { codeOf, decode, until } from "./sandbox-tools.ts";

/** Behaviours of tiers that run real programs. */
const behaviours: Behaviour[] = [];
function behaviour(name: string, run: (bench: Bench) => Promise<void>): void {
  behaviours.push({ name, run });
}

const T = 30_000;
const bash = (sandbox: Sandbox, script: string, timeoutMs = T) =>
  sandbox.exec({ argv: ["bash", "-c", script], timeoutMs });
const outOf = async (sandbox: Sandbox, script: string): Promise<string> =>
  decode((await bash(sandbox, script)).stdout).trim();
/** Processes of the sandbox besides the agent, its supervisors and the counting command. */
const countOf = async (sandbox: Sandbox, name: string): Promise<number> =>
  Number(await outOf(sandbox, `cat /proc/[0-9]*/comm 2>/dev/null | grep -cx '${name}'`));

behaviour("a working folder that is a file, or the machine's own, cannot be the workspace", async ({ provider }) => {
  for (const workdir of ["/etc/passwd", "/usr/bin/env"])
    expect([workdir, await codeOf(provider.open({ image: "host", workdir, owner: "contract" }))]).toEqual([
      workdir,
      "image_failed",
    ]);
});

behaviour("names the signal that ended a command", async ({ sandbox }) => {
  const result = await bash(sandbox, "kill -SEGV $$");
  expect([result.exitCode, result.signal, result.timedOut]).toEqual([null, "SIGSEGV", false]);
});

behaviour("lets a program end another by each ordinary signal", async ({ sandbox }) => {
  const script = "for s in HUP INT TERM USR1 PIPE; do sleep 1000 & kill -$s $!; wait $!; echo $s $?; done; trap -p";
  // An interactive interrupt is ignored by what bash runs in the background, as POSIX has it: python does without.
  expect(await outOf(sandbox, script.replace("INT ", ""))).toBe("HUP 129\nTERM 143\nUSR1 138\nPIPE 141");
  const interrupt = "import os,subprocess; p=subprocess.Popen(['sleep','1000']); p.send_signal(2); print(p.wait())";
  expect(await outOf(sandbox, `python3 -c "${interrupt}"`)).toBe("-2");
});

behaviour("tells the machine's time, in seconds and as time that only grows", async ({ sandbox }) => {
  const before = Date.now();
  const code = "import time; a = time.monotonic(); print(time.time() * 1000); print(time.monotonic() >= a)";
  const [now = "", grows] = (await outOf(sandbox, `python3 -c '${code}'`)).split("\n");
  expect([Number(now) >= before - 5, Number(now) <= Date.now() + 5, grows]).toEqual([true, true, "True"]);
});

behaviour("runs Python, Node and a C compiler of the image", async ({ sandbox, provider }) => {
  const { runtimes } = await provider.image("host");
  expect(await outOf(sandbox, "python3 -c 'print(6*7)'")).toBe("42");
  expect(await outOf(sandbox, "node -p process.version")).toBe(runtimes.node?.version);
  if (runtimes.gcc)
    expect(await outOf(sandbox, "echo 'int main(){return 9;}' >a.c && gcc a.c && ./a.out; echo $?")).toBe("9");
});

behaviour("ends everything a command started at its time-out, whatever it did to get away", async ({ sandbox }) => {
  const result = await bash(
    sandbox,
    `trap '' TERM HUP INT
     setsid sleep 1001 & (setsid sleep 1002 &) &
     python3 -c 'import os,time
if os.fork()==0:
  os.setsid()
  if os.fork()==0:
    os.setsid(); os.execvp("sleep",["sleep","1003"])
  os._exit(0)
' & sleep 1004`,
    1_500,
  );
  expect(result.timedOut).toBe(true);
  expect(await countOf(sandbox, "sleep")).toBe(0);
});

behaviour("answers when the command ends, even if the background holds its output", async ({ sandbox }) => {
  const result = await bash(sandbox, "sleep 1000 & echo done");
  expect(decode(result.stdout)).toBe("done\n");
  expect(result.durationMs).toBeLessThan(5_000);
  expect(await countOf(sandbox, "sleep")).toBe(1);
});

behaviour("kills what a finished command left behind when it is asked to", async ({ sandbox }) => {
  const running = await sandbox.spawn({ argv: ["bash", "-c", "sleep 1000 & echo $!"], timeoutMs: T });
  expect((await running.exit).exitCode).toBe(0);
  await running.kill();
  await until("the background is gone", async () => (await countOf(sandbox, "sleep")) === 0);
});

behaviour("counts what shells and commands left running, and not the shells", async ({ sandbox }) => {
  await using shell = await sandbox.shell();
  await using other = await sandbox.shell();
  await other.run("true", { timeoutMs: T });
  await shell.run("sleep 1000 & (setsid sleep 1000 &)", { timeoutMs: T });
  await bash(sandbox, "tail -f /dev/null & bash -c 'while :; do read -t 100 <> <(:); done' &");
  await until("four programs run", async () => {
    const programs = await sandbox.programs(); // each is a bash until it has become itself
    return programs?.count === 4 && programs.commands.join(" ") === "bash sleep tail";
  });
});

behaviour("shows names of programs as text without control characters, and not too many", async ({ sandbox }) => {
  await bash(
    sandbox,
    `cp /bin/sleep $'a\n\x1b)( b'; ./a* 1000 & for i in $(seq 40); do cp /bin/sleep n$i; ./n$i 1000 & done`,
  );
  await until("they run", async () => (await sandbox.programs())?.count === 41);
  const programs = await sandbox.programs();
  expect(programs?.commands).toHaveLength(16);
  expect(programs?.commands[0]).toBe("a??)( b");
});

behaviour("opens descriptor 3 as a channel that standard output cannot reach", async ({ sandbox }) => {
  const said: string[] = [];
  const running = await sandbox.spawn({
    argv: ["bash", "-c", "echo plain; echo secret >&3"],
    timeoutMs: T,
    channel: true,
    onOutput: (chunk) => said.push(`${chunk.stream}:${decode(chunk.data)}`),
  });
  const result = await running.exit;
  expect(decode(result.stdout)).toBe("plain\n");
  expect(said.sort()).toEqual(["channel:secret\n", "stdout:plain\n"]);
});

behaviour("gives a command no descriptors but the three", async ({ sandbox }) => {
  expect(await outOf(sandbox, "exec ls /proc/self/fd")).toBe("0\n1\n2\n3"); // 3 is ls's own
});

behaviour("holds back a writer whose program does not read, and lets it go with the program", async ({ sandbox }) => {
  await using running = await sandbox.spawn({ argv: ["sleep", "60"], timeoutMs: 60_000 });
  const piece = Buffer.alloc(16 * 1024);
  let written = 0;
  const writing = (async () => {
    for (let i = 0; i < 64; i++) {
      await running.write(piece);
      written += piece.length;
    }
  })();
  await sandbox.exec({ argv: ["sleep", "0.3"], timeoutMs: T });
  expect(written).toBeGreaterThanOrEqual(64 * 1024);
  expect(written).toBeLessThanOrEqual(256 * 1024); // what a pipe holds, and 128 KiB
  await running.kill();
  await writing;
  expect(written).toBe(64 * piece.length);
});

behaviour("lets a writer go whose program closes its input and lives on", async ({ sandbox }) => {
  const argv = ["bash", "-c", "sleep 0.2; exec <&-; sleep 0.2; echo lived"];
  await using running = await sandbox.spawn({ argv, timeoutMs: T });
  for (let i = 0; i < 64; i++) await running.write(Buffer.alloc(16 * 1024));
  expect(decode((await running.exit).stdout)).toBe("lived\n");
});

behaviour("ends the input of a program only when that has taken all of it", async ({ sandbox }) => {
  await using running = await sandbox.spawn({ argv: ["bash", "-c", "sleep 0.2; wc -c"], timeoutMs: T });
  await running.write(Buffer.alloc(120 * 1024));
  await running.closeStdin();
  expect(decode((await running.exit).stdout)).toBe(`${120 * 1024}\n`);
});

behaviour("gives a slow reader all of many small pieces, in their order", async ({ sandbox }) => {
  await using running = await sandbox.spawn({ argv: ["bash", "-c", "sleep 0.2; sha256sum"], timeoutMs: T });
  const lines = Array.from({ length: 4000 }, (_, i) => `${i} ${"x".repeat(i % 200)}\n`);
  for (const line of lines) await running.write(line);
  await running.closeStdin();
  const result = await running.exit;
  expect(decode(result.stdout)).toBe(`${createHash("sha256").update(lines.join("")).digest("hex")}  -\n`);
});

behaviour("streams output while a command runs", async ({ sandbox }) => {
  const first = Promise.withResolvers<void>();
  const running = await sandbox.spawn({
    argv: ["bash", "-c", "echo first; read line; echo got $line"],
    timeoutMs: T,
    onOutput: () => first.resolve(),
  });
  await first.promise;
  await running.write("answer\n");
  expect(decode((await running.exit).stdout)).toBe("first\ngot answer\n");
});

behaviour("lets one gigabyte of output pass without keeping it", async ({ sandbox }) => {
  const before = process.memoryUsage().rss;
  const result = await sandbox.exec({ argv: ["head", "-c", "1000000000", "/dev/zero"], timeoutMs: 120_000 });
  expect(result.stdoutBytes).toBe(1_000_000_000);
  expect(result.stdout).toHaveLength(1024 * 1024);
  expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024);
});

behaviour("stops a program whose output the caller does not take, and not the sandbox", async ({ sandbox }) => {
  let seen = 0;
  const result = await sandbox.exec({
    argv: ["head", "-c", "50000000", "/dev/zero"],
    timeoutMs: T,
    maxOutputBytes: 100,
    onOutput: (chunk) => {
      seen += chunk.data.length;
    },
  });
  expect([seen, result.stdoutBytes]).toEqual([50_000_000, 50_000_000]);
});

behaviour("takes command texts from one byte to a megabyte", async ({ sandbox }) => {
  expect((await bash(sandbox, ":")).exitCode).toBe(0);
  for (const size of [1_000, 131_071, 131_072, 140_000, 1_000_000]) {
    const text = `: '${"x".repeat(size - 20)}'; echo ok`;
    expect([size, await outOf(sandbox, text)]).toEqual([size, "ok"]);
  }
});

behaviour("answers 126 for an argument list that the kernel would refuse", async ({ sandbox }) => {
  const result = await sandbox.exec({ argv: ["echo", "x".repeat(200_000)], timeoutMs: T });
  expect(result.exitCode).toBe(126);
  const huge = await sandbox.exec({ argv: ["echo", "x".repeat(5_000_000)], timeoutMs: T });
  expect(huge.exitCode).toBe(126);
});

behaviour("answers 126 for a working folder that is not there", async ({ sandbox }) => {
  const result = await sandbox.exec({ argv: ["true"], cwd: "/nowhere", timeoutMs: T });
  expect([result.exitCode, decode(result.stderr)]).toEqual([126, expect.stringContaining("/nowhere")]);
});

behaviour("runs shell texts of every length, with newlines and quotes", async ({ sandbox }) => {
  await using shell = await sandbox.shell();
  for (const size of [10, 999, 1_001, 10_000, 1_000_000]) {
    const result = await shell.run(`: '${"é\n".repeat(size / 3)}'\necho "it's $((1+1))"`, { timeoutMs: T });
    expect([size, decode(result.stdout)]).toEqual([size, "it's 2\n"]);
  }
});

behaviour("keeps functions, options and the last status of a shell", async ({ sandbox }) => {
  await using shell = await sandbox.shell();
  await shell.run("f() { echo f:$1; }; set -o pipefail; (exit 4)", { timeoutMs: T });
  const result = await shell.run("echo $?; f x; false | true; echo $?", { timeoutMs: T });
  expect(decode(result.stdout)).toBe("4\nf:x\n1\n");
});

behaviour("does not mistake what a program writes anywhere for the end of a shell's run", async ({ sandbox }) => {
  await using shell = await sandbox.shell();
  const forge = `python3 -c '
import os
for fd in range(1, 200):
  try: os.write(fd, b"0\\0")
  except OSError: pass'; sleep 0.2; (exit 5)`;
  expect((await shell.run(forge, { timeoutMs: T })).exitCode).toBe(5);
});

behaviour("lets no program of a shell inherit its descriptors", async ({ sandbox }) => {
  await using shell = await sandbox.shell();
  const result = await shell.run("ls /proc/self/fd", { timeoutMs: T });
  expect(decode(result.stdout)).toBe("0\n1\n2\n3\n"); // 3 is ls's own
});

behaviour("reports a syntax error in a shell and goes on", async ({ sandbox }) => {
  await using shell = await sandbox.shell();
  const broken = await shell.run("if then", { timeoutMs: T });
  expect(broken.exitCode).toBe(2);
  expect(decode((await shell.run("echo on", { timeoutMs: T })).stdout)).toBe("on\n");
});

behaviour("ends what a shell started at the shell's time-out", async ({ sandbox }) => {
  await using shell = await sandbox.shell();
  await shell.run("setsid sleep 1000 & sleep 1000", { timeoutMs: 500 });
  expect(await countOf(sandbox, "sleep")).toBe(0);
});

behaviour("has no network but its own loopback", async ({ sandbox }) => {
  expect(await outOf(sandbox, "ls /sys/class/net 2>/dev/null; cut -d: -f1 /proc/net/dev | tail -n +3")).toBe("lo");
  const result = await bash(sandbox, "exec 3<>/dev/tcp/1.1.1.1/80");
  expect(result.exitCode).not.toBe(0);
  const served = await outOf(
    sandbox,
    `python3 -c '
import socket,threading
s=socket.socket(); s.bind(("127.0.0.1",0)); s.listen()
threading.Thread(target=lambda: s.accept()[0].sendall(b"hi")).start()
print(socket.create_connection(s.getsockname()).recv(9).decode())'`,
  );
  expect(served).toBe("hi");
});

behaviour("sees its own processes only", async ({ sandbox }) => {
  expect(await outOf(sandbox, "cat /proc/1/comm; ls /proc | grep -c '^[0-9]'")).toMatch(/^(light|agent|\d).*\n\d$/);
});

behaviour("tells the number of processors truly", async ({ provider }) => {
  await using one = await provider.open({ image: "host", owner: "contract", limits: { cpus: 1 } });
  expect(await outOf(one, "nproc")).toBe("1");
});

/** Where ids cannot be mapped (an overlay root, an ordinary user), system folders are read-only inside. */
const canChangeSystem = async (provider: Bench["provider"]): Promise<boolean> =>
  (await provider.selfCheck()).enforced.some((what) => what.startsWith("system folders"));

behaviour("lets no change of a system folder reach the image", async ({ provider, sandbox }) => {
  if (!(await canChangeSystem(provider))) {
    expect((await bash(sandbox, "echo x > /usr/bin/env || rm /usr/bin/env")).exitCode).not.toBe(0);
    return;
  }
  expect((await bash(sandbox, "echo x > /usr/bin/added && rm /usr/bin/env && ! test -e /usr/bin/env")).exitCode).toBe(
    0,
  );
  await using other = await provider.open({ image: "host", owner: "contract" });
  expect((await bash(other, "test ! -e /usr/bin/added && test -e /usr/bin/env")).exitCode).toBe(0);
});

behaviour("carries system folders through a frozen state", async ({ provider }) => {
  if (!(await canChangeSystem(provider))) return; // nothing to carry
  const first = await provider.open({ image: "host", owner: "contract" });
  await bash(first, "echo made > /usr/local/bin/tool; rm /usr/bin/env");
  const snapshot = await first.freeze();
  await using second = await provider.open({ image: "host", from: snapshot, owner: "contract" });
  expect(await outOf(second, "cat /usr/local/bin/tool; test -e /usr/bin/env || echo gone")).toBe("made\ngone");
  await second.close();
  await provider.release(snapshot);
});

behaviour("stacks seventy frozen states and exports over all of them", async ({ provider }) => {
  const held = [];
  let sandbox = await provider.open({ image: "host", owner: "contract" });
  for (let i = 0; i < 70; i++) {
    await sandbox.write(`f${i}`, `${i}`);
    if (i > 0) await sandbox.remove(`f${i - 1}`);
    const snapshot = await sandbox.freeze();
    held.push(snapshot);
    sandbox = await provider.open({ image: "host", from: snapshot, owner: "contract" });
  }
  expect(await outOf(sandbox, "ls")).toBe("f69");
  await sandbox.close();
  const [base, last] = [held.at(0), held.at(-1)];
  if (!base || !last) throw new Error("nothing was frozen");
  const done = await provider.export(base, last, { root: "/workspace", maxBytes: 1e6, maxEntries: 100 });
  expect(done.ok && done.value.manifest.map(({ path, type }) => [path, type])).toEqual([
    ["f0", "deleted"],
    ["f69", "file"],
  ]);
  for (const snapshot of held) await provider.release(snapshot);
});

behaviour("reports in an export what may not travel", async ({ provider }) => {
  const first = await provider.open({ image: "host", owner: "contract" });
  const base = await first.freeze();
  const second = await provider.open({ image: "host", from: base, owner: "contract" });
  await bash(
    second,
    `cp /bin/true su; chmod 4755 su; mkfifo pipe; echo 1 > a; ln a b; echo x > $'new\\nline'; echo y > $'\\xff\\xfe'
     python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("sock")'`,
  );
  const snapshot = await second.freeze();
  const done = await provider.export(base, snapshot, { root: "/workspace", maxBytes: 1e7, maxEntries: 100 });
  await provider.release(snapshot);
  await provider.release(base);
  if (!done.ok) throw new Error(done.message);
  expect(done.value.manifest.map(({ path, type, mode }) => [path, type, mode])).toEqual([
    ["a", "file", 0o644],
    ["b", "file", 0o644],
    ["su", "file", 0o755],
  ]);
  expect(done.value.refused.map(({ path }) => path)).toEqual([
    "a",
    "b",
    "new\nline",
    "pipe",
    "sock",
    "su",
    "\ufffd\ufffd",
  ]);
});

behaviour("exports a folder that replaced a file, and a file that replaced a folder", async ({ provider }) => {
  const first = await provider.open({ image: "host", owner: "contract" });
  await first.write("was-file", "1");
  await first.write("was-dir/inner", "2");
  const base = await first.freeze();
  const second = await provider.open({ image: "host", from: base, owner: "contract" });
  await bash(second, "rm was-file; mkdir was-file; echo 3 > was-file/x; rm -r was-dir; echo 4 > was-dir");
  const snapshot = await second.freeze();
  const done = await provider.export(base, snapshot, { root: "/workspace", maxBytes: 1e6, maxEntries: 100 });
  await provider.release(snapshot);
  await provider.release(base);
  expect(done.ok && done.value.manifest.map(({ path, type }) => [path, type])).toEqual([
    ["was-dir", "file"],
    ["was-file", "directory"],
    ["was-file/x", "file"],
  ]);
});

behaviour("exports what was deleted inside a folder that was made anew", async ({ provider }) => {
  const first = await provider.open({ image: "host", owner: "contract" });
  await first.write("d/tests/hidden", "1");
  await first.write("d/kept", "2");
  const base = await first.freeze();
  const second = await provider.open({ image: "host", from: base, owner: "contract" });
  await bash(second, "rm -r d; mkdir d; echo 2 > d/new");
  const snapshot = await second.freeze();
  const done = await provider.export(base, snapshot, { root: "/workspace", maxBytes: 1e6, maxEntries: 100 });
  await using again = await provider.open({ image: "host", from: snapshot, owner: "contract" });
  expect(await outOf(again, "find d | sort")).toBe("d\nd/new");
  await again.close();
  await provider.release(snapshot);
  await provider.release(base);
  expect(done.ok && done.value.manifest.map(({ path, type }) => [path, type])).toEqual([
    ["d/kept", "deleted"],
    ["d/new", "file"],
    ["d/tests", "deleted"],
  ]);
});

behaviour("names files with odd bytes without losing them", async ({ sandbox }) => {
  await bash(sandbox, `mkdir odd; echo 1 > odd/$'\\xff\\xfe'; echo 2 > odd/$'a\\nb'; echo 3 > "odd/ü"`);
  const listed = await sandbox.list("odd");
  expect(listed.ok && listed.value.map((entry) => [...entry.rawPath])).toEqual([
    [0x61, 0x0a, 0x62],
    [0xc3, 0xbc],
    [0xff, 0xfe],
  ]);
  expect(listed.ok && listed.value[2]?.path).toBe("\ufffd\ufffd");
  expect((await sandbox.remove("odd")).ok).toBe(true);
});

behaviour("lists a hundred thousand files and removes them", async ({ provider }) => {
  await using sandbox = await provider.open({ image: "host", owner: "contract", limits: { inodes: 120_000 } });
  await bash(sandbox, "mkdir many && cd many && seq 100000 | xargs touch");
  const few = await sandbox.list("many");
  expect(few.ok ? "listed" : few.error).toBe("too_large");
  const listed = await sandbox.list("many", { maxEntries: 200_000 });
  expect(listed.ok && listed.value.length).toBe(100_000);
  expect((await sandbox.remove("many")).ok).toBe(true);
});

behaviour("removes folders ten thousand levels deep", async ({ sandbox }) => {
  const made = await bash(
    sandbox,
    `python3 -c '
import os
for i in range(10000):
  os.mkdir("d"); os.chdir("d")'`,
  );
  expect(made.exitCode).toBe(0);
  expect((await sandbox.remove("d")).ok).toBe(true);
  expect((await sandbox.stat("d")).ok).toBe(false);
});

behaviour("treats a sparse terabyte as too large to read", async ({ sandbox }) => {
  await bash(sandbox, "truncate -s 1T sparse");
  const read = await sandbox.read("sparse");
  expect(read.ok ? "read" : read.error).toBe("too_large");
});

behaviour("does not wait on a pipe and does not read a device", async ({ sandbox }) => {
  await bash(sandbox, "mkfifo pipe; ln -s /dev/zero zero");
  for (const path of ["pipe", "zero", "/dev/full"]) {
    const [read, written] = [await sandbox.read(path), await sandbox.write(path, "x")];
    expect([path, read.ok ? "" : read.error, written.ok ? "" : written.error]).toEqual([
      path,
      "not_a_file",
      "not_a_file",
    ]);
  }
});

behaviour("knows how many bytes of memory a command may use, and says when it took more", async ({ provider }) => {
  const check = await provider.selfCheck();
  await using sandbox = await provider.open({
    image: "host",
    owner: "contract",
    limits: { memoryBytes: 128 * 2 ** 20 },
  });
  const result = await bash(sandbox, "exec python3 -c 'x=bytearray(400*2**20); print(len(x))'");
  expect(result.exitCode).not.toBe(0);
  if (check.mode === "root") expect([result.signal, result.outOfMemory]).toEqual(["SIGKILL", true]);
  expect(await outOf(sandbox, "echo alive")).toBe("alive");
});

behaviour("bounds the number of processes", async ({ provider }) => {
  await using sandbox = await provider.open({ image: "host", owner: "contract", limits: { processes: 40 } });
  const result = await bash(sandbox, "for i in $(seq 100); do sleep 100 & done 2>/dev/null; wait", 3_000);
  expect(result.timedOut).toBe(true);
  expect(await outOf(sandbox, "echo alive")).toBe("alive");
});

behaviour("reports a sandbox that its own program ended, and can still freeze it", async ({ provider }) => {
  const check = await provider.selfCheck();
  if (check.mode !== "root") return; // no way inside to end PID 1 without the memory limit
  const sandbox = await provider.open({ image: "host", owner: "contract", limits: { memoryBytes: 64 * 2 ** 20 } });
  await sandbox.write("kept", "work");
  const snapshot = await sandbox.freeze();
  await using again = await provider.open({ image: "host", from: snapshot, owner: "contract" });
  const read = await again.read("kept");
  expect(read.ok && decode(read.value)).toBe("work");
  await again.close();
  await provider.release(snapshot);
});

behaviour("fails open commands when the sandbox is closed under them", async ({ provider }) => {
  const sandbox = await provider.open({ image: "host", owner: "contract" });
  const running = codeOf(sandbox.exec({ argv: ["sleep", "60"], timeoutMs: 60_000 }));
  await sandbox.close();
  expect(await running).toBe("sandbox_unavailable");
});

behaviour("opens fifty sandboxes at once", async ({ provider }) => {
  const opened = await Promise.all(
    Array.from({ length: 50 }, () => provider.open({ image: "host", owner: "contract" })),
  );
  const answers = await Promise.all(opened.map((sandbox) => outOf(sandbox, "echo $$")));
  expect(new Set(answers.map((answer) => answer !== ""))).toEqual(new Set([true]));
  await Promise.all(opened.map((sandbox) => sandbox.close()));
});

export const lightBehaviours: readonly Behaviour[] = behaviours;
