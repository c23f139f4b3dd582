import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { homedir } from "node:os";
import { resolve } from "node:path";
import { expect } from "vitest";
import type { OutputChunk, Sandbox, SandboxProcess } from "../../core/sandbox.ts";
import type { Behaviour, Bench } from "../contract/sandbox.ts";
import { decode } from "../contract/sandbox-tools.ts";

/** Programs that look for a way out, or for what is outside. The control of a case is the machine's own state. */
const cases: Behaviour[] = [];
function attack(name: string, run: (bench: Bench) => Promise<void>): void {
  cases.push({ name, run });
}

const T = 30_000;
const bash = (sandbox: Sandbox, script: string) => sandbox.exec({ argv: ["bash", "-c", script], timeoutMs: T });
const outOf = async (sandbox: Sandbox, script: string): Promise<string> =>
  decode((await bash(sandbox, script)).stdout).trim();
const isRoot = async ({ provider }: Bench): Promise<boolean> => (await provider.selfCheck()).mode === "root";

attack("cannot set the core pattern, nor any other kernel setting", async ({ sandbox }) => {
  const before = readFileSync("/proc/sys/kernel/core_pattern", "utf8");
  for (const setting of ["kernel/core_pattern", "kernel/modprobe", "vm/overcommit_memory", "fs/binfmt_misc/register"])
    expect((await bash(sandbox, `echo '|/tmp/x' > /proc/sys/${setting}`)).exitCode).not.toBe(0);
  await bash(sandbox, "ulimit -c unlimited; kill -SEGV $$");
  expect(readFileSync("/proc/sys/kernel/core_pattern", "utf8")).toBe(before);
});

attack("finds no setting below /proc that it may write", async ({ sandbox }) => {
  expect(
    await outOf(
      sandbox,
      "find /proc/sys /proc/irq /proc/bus /proc/fs -type f -writable 2>/dev/null | while read f; do [ -f $f ] && echo $f; done | head -3",
    ),
  ).toBe("");
  expect((await bash(sandbox, "echo b > /proc/sysrq-trigger")).exitCode).not.toBe(0);
});

attack("sees no home folder, install folder or state of the machine", async ({ sandbox }) => {
  const install = resolve(import.meta.dirname, "../..");
  for (const path of [
    install,
    `${homedir()}/.ssh`,
    "/etc/shadow",
    "/var/lib/dpkg",
    "/boot",
    "/run/polygym-light",
    "/old_root",
  ])
    expect((await sandbox.stat(path)).ok, path).toBe(false);
  const home = await sandbox.list("/root");
  expect(home.ok && home.value).toEqual([]);
  const homes = await sandbox.list("/home");
  expect(homes.ok && homes.value).toEqual([]);
});

attack("sees no host path in its mount table", async ({ sandbox }) => {
  const table = await outOf(sandbox, "cat /proc/self/mountinfo");
  const install = resolve(import.meta.dirname, "../..");
  for (const secret of [install, homedir() === "/" ? "/root/" : `${homedir()}/`, "/dev/vda", ".polygym"])
    expect(table).not.toContain(secret);
});

attack("reads no file that only its owner may read on the machine", async (bench) => {
  const search = "find /usr /etc -xdev ! -type l ! -perm -o=r -readable 2>/dev/null | head -3";
  const found = await outOf(bench.sandbox, search);
  // The control: root of the machine reads such files.
  if (await isRoot(bench)) expect(execFileSync("/bin/sh", ["-c", search], { encoding: "utf8" })).not.toBe("");
  expect(found).toBe("");
});

attack("runs no program with another's rights", async ({ sandbox }) => {
  const out = await outOf(sandbox, "cp /bin/bash b; chmod 6755 b; grep -E 'NoNewPrivs|CapBnd' /proc/self/status");
  expect(out).toContain("NoNewPrivs:\t1");
  const bound = BigInt(`0x${/CapBnd:\s*([0-9a-f]+)/.exec(out)?.[1] ?? "ff"}`);
  const forbidden = {
    SYS_ADMIN: 21n,
    SYS_PTRACE: 19n,
    SYS_MODULE: 16n,
    MKNOD: 27n,
    NET_RAW: 13n,
    NET_ADMIN: 12n,
    SYS_CHROOT: 18n,
    BPF: 39n,
  };
  for (const [name, bit] of Object.entries(forbidden)) expect([name, bound & (1n << bit)]).toEqual([name, 0n]);
});

attack("makes no device node and reads no disk", async ({ sandbox }) => {
  expect((await bash(sandbox, "mknod disk b 254 0 || mknod mem c 1 1")).exitCode).not.toBe(0);
  expect(await outOf(sandbox, "ls /dev | sort | tr '\\n' ' '")).toBe(
    "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero",
  );
});

attack("finds no system folder of the kernel", async ({ sandbox }) => {
  expect(await outOf(sandbox, "ls -A /sys | wc -l; ls /sys/fs/cgroup 2>/dev/null | wc -l")).toBe("0\n0");
});

attack("learns nothing about the machine from masked files", async ({ sandbox }) => {
  const files =
    "kcore kmsg keys kallsyms timer_list cmdline partitions interrupts cgroups diskstats modules vmallocinfo slabinfo locks";
  expect(
    await outOf(sandbox, `cd /proc; for f in ${files}; do [ -e $f ] && head -c 20 $f 2>/dev/null; done | wc -c`),
  ).toBe("0");
  expect(
    await outOf(
      sandbox,
      "cat /proc/pressure/* 2>/dev/null | wc -c; cat /proc/sys/fs/file-nr /proc/sys/kernel/pty/nr | wc -c",
    ),
  ).toBe("0\n0");
});

attack("sees only its own group, and no path of it", async ({ sandbox }) => {
  expect(await outOf(sandbox, "cut -d: -f3 /proc/self/cgroup | sort -u")).toBe("/");
});

attack("cannot kill, stop or signal PID 1", async ({ sandbox }) => {
  await bash(sandbox, "for s in KILL STOP TERM INT HUP SEGV CHLD PIPE USR1 ALRM; do kill -$s 1; done");
  expect(await outOf(sandbox, "echo alive; cut -d' ' -f3 /proc/1/stat")).toMatch(/^alive\n[SR]$/);
});

attack("cannot trace PID 1 or read its memory", async ({ sandbox }) => {
  const script = `
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
print(libc.ptrace(16, 1, 0, 0), libc.ptrace(0x4206, 1, 0, 0))
for name in ("mem", "environ", "maps", "auxv", "stack", "syscall", "fd/3", "root", "cwd", "exe", "ns/mnt"):
  try: os.read(os.open("/proc/1/" + name, os.O_RDONLY), 1); print("READ", name)
  except OSError: pass
try: os.open("/proc/1/mem", os.O_WRONLY); print("WRITABLE")
except OSError: pass
try: print(os.sched_setaffinity(1, {0}))
except OSError: print("no affinity")
`;
  const out = await outOf(sandbox, `python3 -c '${script}'`);
  expect(out).toContain("-1 -1");
  expect(out).not.toContain("READ");
  expect(out).not.toContain("WRITABLE");
});

attack("cannot reach PID 1 through the worker's own file operations", async ({ sandbox }) => {
  await bash(sandbox, "ln -s /proc/self/mem mem; ln -s /proc/1/fd/3 socket; ln -s /proc/self/root/etc deep");
  for (const path of [
    "/proc/self/mem",
    "/proc/1/environ",
    "/proc/self/environ",
    "mem",
    "socket",
    "/proc/thread-self/maps",
  ]) {
    expect((await sandbox.read(path)).ok, path).toBe(false);
    expect((await sandbox.write(path, "x")).ok, path).toBe(false);
  }
  expect((await sandbox.remove("/proc/1")).ok).toBe(false);
});

attack("follows links only inside itself", async ({ sandbox }) => {
  await bash(sandbox, "ln -s / up; ln -s ../../../../../.. out; ln -s /etc/passwd account");
  const read = await sandbox.read("account");
  expect(read.ok && decode(read.value)).toMatch(/^root:x:0:0/);
  expect(readFileSync("/etc/passwd", "utf8")).not.toBe(read.ok && decode(read.value));
  await sandbox.write("out/tmp/escaped-by-polygym-test", "x");
  await expect(readdir("/tmp")).resolves.not.toContain("escaped-by-polygym-test");
});

attack("cannot race the worker out with a folder that becomes a link", async ({ sandbox }) => {
  const swap = await sandbox.spawn({
    argv: ["bash", "-c", "mkdir -p real; while :; do rm -rf d; mkdir d; rm -rf d; ln -s /etc d; done 2>/dev/null"],
    timeoutMs: T,
  });
  for (let i = 0; i < 300; i++) await sandbox.write(`d/raced-${i}`, "x");
  await swap.kill();
  expect(readFileSync("/etc/passwd", "utf8")).toContain("root");
  expect((await readdir("/etc")).some((name) => name.startsWith("raced-"))).toBe(false);
});

attack("does not see the machine's processes or those of a neighbour", async ({ provider, sandbox }) => {
  await using other = await provider.open({ image: "host", owner: "hostile" });
  await using hidden = await other.spawn({ argv: ["sleep", "4242"], timeoutMs: T });
  expect(await outOf(sandbox, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")).not.toContain("4242");
  expect(Number(await outOf(sandbox, "ls -d /proc/[0-9]* | wc -l"))).toBeLessThan(8);
  await hidden.kill();
});

attack("has no route to anything", async ({ sandbox }) => {
  const script = `
import socket
for family, address in ((2, ("1.1.1.1", 53)), (2, ("169.254.169.254", 80)), (2, ("10.0.0.1", 22)), (2, ("172.17.0.1", 2375)), (10, ("fd00:ec2::254", 80)), (2, ("127.0.0.1", 6379))):
  s = socket.socket(family, 1); s.settimeout(2)
  try: s.connect(address); print("CONNECTED", address)
  except OSError as e: print(e.errno)
try: print(socket.getaddrinfo("example.com", 80))
except OSError: print("no names")
`;
  const out = await outOf(sandbox, `python3 -c '${script}'`);
  expect(out).not.toContain("CONNECTED");
  expect(out).toContain("no names");
});

attack("finds no socket of the machine", async ({ sandbox }) => {
  expect(
    await outOf(
      sandbox,
      "find / -xdev -type s 2>/dev/null | head -3; tail -n +2 /proc/net/unix | grep -v ' 03 \\| 01 ' | wc -l",
    ),
  ).toBe("0");
});

attack("shares no message queue, semaphore or shared memory with a neighbour", async ({ provider, sandbox }) => {
  await using other = await provider.open({ image: "host", owner: "hostile" });
  await bash(sandbox, "ipcmk -M 4096 -p 0666 >/dev/null; echo x > /dev/shm/channel");
  expect(await outOf(other, "ipcs -m | grep -c '^0x'; ls /dev/shm")).toBe("0");
});

/** A command that holds a lock on `path`, once it does. Whoever asks for it ends it. */
async function holding(sandbox: Sandbox, path: string): Promise<SandboxProcess> {
  const held = Promise.withResolvers<void>();
  const onOutput = ({ data }: OutputChunk): void => {
    if (decode(data).includes("held")) held.resolve();
  };
  const argv = ["flock", path, "-c", "echo held; exec sleep 60"];
  const first = await sandbox.spawn({ argv, timeoutMs: T, mergeOutput: true, onOutput });
  first.exit.then(({ stdout }) => held.reject(new Error(`nothing was locked: ${decode(stdout)}`)), held.reject);
  await held.promise;
  return first;
}

attack("locks system files without a neighbour noticing", async ({ provider, sandbox }) => {
  await using other = await provider.open({ image: "host", owner: "hostile" });
  await using _held = await holding(sandbox, "/usr/bin/env");
  const lock = "flock -n /usr/bin/env echo free";
  expect(await outOf(sandbox, lock)).toBe(""); // the control: it is truly held
  expect(await outOf(other, lock)).toBe("free");
});

attack("locks its namespaces without a neighbour noticing", async ({ provider, sandbox }) => {
  await using other = await provider.open({ image: "host", owner: "hostile" });
  for (const name of ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"]) {
    await using _held = await holding(sandbox, `/proc/self/ns/${name}`);
    expect([name, await outOf(other, `flock -n /proc/self/ns/${name} echo free`)]).toEqual([name, "free"]);
  }
});

attack("hears of no file that a neighbour opens", async ({ provider, sandbox }) => {
  await using other = await provider.open({ image: "host", owner: "hostile" });
  const script = `import ctypes, os, select, sys
libc = ctypes.CDLL(None)
fd = libc.inotify_init()
libc.inotify_add_watch(fd, b"/usr/bin/env", 0x20)
for line in sys.stdin:
  heard = bool(select.select([fd], [], [], 0)[0])
  if heard: os.read(fd, 4096)
  print(line.strip(), heard, flush=True)`;
  const said: string[] = [];
  let told = Promise.withResolvers<void>();
  const onOutput = ({ data }: OutputChunk): void => {
    said.push(decode(data).trim());
    told.resolve();
  };
  await using spy = await sandbox.spawn({ argv: ["python3", "-c", script], timeoutMs: T, onOutput });
  const ask = async (what: string): Promise<void> => {
    told = Promise.withResolvers();
    await spy.write(`${what}\n`);
    await told.promise;
  };
  await ask("nothing");
  await bash(other, "cat /usr/bin/env > /dev/null");
  await ask("neighbour");
  await bash(sandbox, "cat /usr/bin/env > /dev/null");
  await ask("control");
  expect(said).toEqual(["nothing False", "neighbour False", "control True"]);
});

attack("locks its devices without a neighbour noticing", async (bench) => {
  if (!(await isRoot(bench))) return; // an ordinary user cannot make device nodes: the self-check says that they are shared
  await using other = await bench.provider.open({ image: "host", owner: "hostile" });
  await using _held = await holding(bench.sandbox, "/dev/null");
  expect(await outOf(bench.sandbox, "flock -n /dev/null echo free")).toBe(""); // the control: it is truly held
  expect(await outOf(other, "flock -n /dev/null echo free")).toBe("free");
});

attack("cannot escape by a second pivot, a bind mount or a user namespace of the shell tools", async ({ sandbox }) => {
  for (const tool of [
    "unshare -Ur true",
    "unshare -m true",
    "mount -t tmpfs x /mnt",
    "mount --bind / /mnt",
    "chroot / true",
    "nsenter -t 1 -m true",
    "umount /proc",
  ])
    expect([tool, (await bash(sandbox, `${tool} 2>/dev/null`)).exitCode]).not.toEqual([tool, 0]);
});

attack("cannot use 32-bit calls to get past the filter", async ({ sandbox }) => {
  const source = `int main(void){int r;__asm__ volatile("int $0x80":"=a"(r):"a"(20));return 0;}`;
  const built = await bash(sandbox, `command -v gcc >/dev/null || exit 9; echo '${source}' > a.c && gcc -o a a.c`);
  if (built.exitCode === 9) return; // nothing to build the attack with; the filter is the same
  const result = await sandbox.exec({ argv: ["./a"], timeoutMs: T });
  expect(result.signal).toBe("SIGSYS");
});

attack("cannot set the clock", async ({ sandbox }) => {
  const before = Date.now();
  expect((await bash(sandbox, "date -s 2001-01-01")).exitCode).not.toBe(0);
  expect(Date.now()).toBeGreaterThanOrEqual(before);
});

attack("cannot raise its priority", async ({ sandbox }) => {
  expect((await bash(sandbox, "nice -n -5 true 2>&1 | grep -q denied || chrt -f 50 true")).exitCode).not.toBe(
    undefined,
  );
  expect(await outOf(sandbox, "chrt -f 50 true 2>/dev/null && echo real-time; nice -n -5 nice 2>/dev/null")).toBe("0");
});

attack("exports no device, socket or set-user-id program", async ({ provider }) => {
  const first = await provider.open({ image: "host", owner: "hostile" });
  const base = await first.freeze();
  const second = await provider.open({ image: "host", from: base, owner: "hostile" });
  await bash(
    second,
    "cp /bin/true a; chmod 6755 a; mkfifo b; ln -s /etc/shadow c; mkdir -m 7777 d; mkdir d/..x; setfattr -n user.overlay.opaque -v y d 2>/dev/null; true",
  );
  const snapshot = await second.freeze();
  const done = await provider.export(base, snapshot, { root: "/workspace", maxBytes: 1e7, maxEntries: 100 });
  await provider.release(snapshot);
  await provider.release(base);
  if (!done.ok) throw new Error(done.message);
  expect(done.value.manifest.map(({ path, mode }) => [path, mode & 0o7000])).toEqual([
    ["a", 0],
    ["c", 0],
    ["d", 0],
    ["d/..x", 0],
  ]);
  expect(done.value.refused.map(({ path }) => path)).toEqual(["a", "b", "d", "d/..x"]);
});

attack("cannot make the exporter read outside by replacing the root with a link", async ({ provider }) => {
  const first = await provider.open({ image: "host", owner: "hostile" });
  await first.write("dir/file", "1");
  const base = await first.freeze();
  const second = await provider.open({ image: "host", from: base, owner: "hostile" });
  await bash(
    second,
    "cd /; rm -rf /workspace/dir; ln -s /new /workspace/dir; ln -s /old /workspace/o; ln -s /l0 /workspace/l",
  );
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
});

export const escapeCases: readonly Behaviour[] = cases;
