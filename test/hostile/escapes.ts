import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { resolve } from "node:path";
import { expect } from "vitest";
import type { Bench } from "../contract/sandbox.ts";
import { type Attack, bash, type Control, outOf, python, shows, showsPython, T } from "./attack.ts";

/** Programs that look for a way out, or for what is outside. */
const cases: Attack[] = [];
function attack(name: string, about: { of: number[]; control: Control }, run: (bench: Bench) => Promise<void>): void {
  cases.push({ name, ...about, run });
}

const install = resolve(import.meta.dirname, "../..");

attack(
  "cannot set the core pattern, nor any other kernel setting",
  // Whether root may write is asked, not tried: the setting is the machine's.
  { of: [1, 18, 54], control: shows("test -w /proc/sys/kernel/core_pattern && echo writable", /writable/) },
  async ({ sandbox }) => {
    const before = readFileSync("/proc/sys/kernel/core_pattern", "utf8");
    for (const setting of ["kernel/core_pattern", "kernel/modprobe", "vm/overcommit_memory", "fs/binfmt_misc/register"])
      expect((await bash(sandbox, `echo '|/tmp/x' > /proc/sys/${setting}`)).exitCode).not.toBe(0);
    await bash(sandbox, "ulimit -c unlimited; kill -SEGV $$");
    expect(await outOf(sandbox, "ls /workspace /tmp | grep -c core")).toBe("0");
    expect(readFileSync("/proc/sys/kernel/core_pattern", "utf8")).toBe(before);
  },
);

const WRITABLE =
  "find /proc/sys /proc/irq /proc/bus /proc/fs -type f -writable 2>/dev/null | while read f; do [ -f $f ] && echo $f; done | head -3";
attack(
  "finds no setting below /proc that it may write",
  { of: [1, 18], control: shows(WRITABLE, /proc\/sys/) },
  async ({ sandbox }) => {
    expect(await outOf(sandbox, WRITABLE)).toBe("");
    expect((await bash(sandbox, "echo b > /proc/sysrq-trigger")).exitCode).not.toBe(0);
  },
);

attack(
  "sees no home folder, install folder or state of the machine",
  {
    of: [25, 71],
    control: {
      run: async () =>
        expect([install, "/etc/shadow", "/var/lib/dpkg", "/boot"].every((path) => existsSync(path))).toBe(true),
    },
  },
  async ({ sandbox }) => {
    for (const path of [
      install,
      `${homedir()}/.ssh`,
      "/etc/shadow",
      "/var/lib/dpkg",
      "/boot",
      "/run/polygym-light",
      "/run/docker.sock",
      "/old_root",
    ])
      expect((await sandbox.stat(path)).ok, path).toBe(false);
    const home = await sandbox.list("/root");
    expect(home.ok && home.value).toEqual([]);
    const homes = await sandbox.list("/home");
    expect(homes.ok && homes.value).toEqual([]);
  },
);

attack(
  "sees no host path in its mount table",
  { of: [76], control: shows("cat /proc/self/mountinfo", / - \w+ \/dev\/|lowerdir=\//) },
  async ({ sandbox }) => {
    const table = await outOf(sandbox, "cat /proc/self/mountinfo");
    for (const secret of [install, homedir() === "/" ? "/root/" : `${homedir()}/`, "/dev/vda", ".polygym"])
      expect(table).not.toContain(secret);
  },
);

const CLOSED = "find /usr /etc -xdev ! -type l ! -perm -o=r -readable 2>/dev/null | head -3";
attack(
  "reads no file that only its owner may read on the machine",
  { of: [71], control: shows(CLOSED, /\//) },
  async ({ sandbox }) => expect(await outOf(sandbox, CLOSED)).toBe(""),
);

attack(
  "runs no program with another's rights",
  { of: [13, 14], control: shows("grep -E 'NoNewPrivs|CapBnd' /proc/self/status", /CapBnd:\s*0*[1-9a-f][0-9a-f]{8}/) },
  async ({ sandbox }) => {
    const out = await outOf(sandbox, "grep -E 'NoNewPrivs|CapBnd' /proc/self/status");
    expect(out).toContain("NoNewPrivs:\t1");
    const bound = BigInt(`0x${/CapBnd:\s*([0-9a-f]+)/.exec(out)?.[1] ?? "ff"}`);
    const forbidden = {
      SYS_ADMIN: 21n,
      SYS_PTRACE: 19n,
      SYS_MODULE: 16n,
      SYS_RAWIO: 17n,
      SYS_NICE: 23n,
      SYS_RESOURCE: 24n,
      SYS_TIME: 25n,
      MKNOD: 27n,
      NET_RAW: 13n,
      NET_ADMIN: 12n,
      SYS_CHROOT: 18n,
      SETFCAP: 31n,
      BPF: 39n,
    };
    for (const [name, bit] of Object.entries(forbidden)) expect([name, bound & (1n << bit)]).toEqual([name, 0n]);
  },
);

const SET_USER_ID = `cp /usr/bin/id i && chmod 6755 i && chmod 777 .
setpriv --reuid 1000 --regid 1000 --clear-groups ./i -u 2>/dev/null || setpriv --reuid 1000 --regid 1000 --keep-groups ./i -u`;
attack(
  "a set-user-id copy of a program gives its caller no other id",
  { of: [14], control: shows(SET_USER_ID, /^0/) },
  async ({ sandbox }) => {
    expect(await outOf(sandbox, SET_USER_ID)).not.toMatch(/^0/m);
    const tools =
      "command -v sudo >/dev/null && sudo -n true && echo sudo; su nobody -s /bin/true </dev/null && echo su; true";
    expect(await outOf(sandbox, `setpriv --reuid 1000 --keep-groups bash -c '${tools}' 2>/dev/null`)).toBe("");
  },
);

const FILE_CAPABILITY = `import os, shutil, struct
shutil.copy("/bin/true", "t")
try: os.setxattr("t", "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 21, 0, 0, 0)); print("set")
except OSError as e: print("refused", e.errno)`;
attack("gives no file a capability", { of: [14], control: showsPython(FILE_CAPABILITY, /set/) }, async ({ sandbox }) =>
  expect(await python(sandbox, FILE_CAPABILITY)).toMatch(/^refused/),
);

attack(
  "makes no device node and reads no disk",
  { of: [17], control: shows("mknod n c 1 3 && echo made", /made/) },
  async ({ sandbox }) => {
    expect((await bash(sandbox, "mknod disk b 254 0 || mknod mem c 1 1")).exitCode).not.toBe(0);
    expect(await outOf(sandbox, "ls /dev | sort | tr '\\n' ' '")).toBe(
      "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero",
    );
  },
);

attack(
  "finds no system folder of the kernel",
  { of: [18], control: shows("ls -A /sys | wc -l", /^[1-9]/) },
  async ({ sandbox }) => {
    expect(await outOf(sandbox, "ls -A /sys | wc -l; ls /sys/fs/cgroup 2>/dev/null | wc -l")).toBe("0\n0");
  },
);

const MASKED =
  "kcore kmsg keys key-users kallsyms timer_list sched_debug cmdline partitions interrupts cgroups diskstats modules vmallocinfo slabinfo locks zoneinfo vmstat";
const READ_MASKED = `cd /proc; for f in ${MASKED}; do [ -e $f ] && [ $f != kmsg ] && head -c 20 $f 2>/dev/null; done | wc -c`;
attack(
  "learns nothing about the machine from masked files",
  { of: [19, 79, 81], control: shows(READ_MASKED, /^[1-9]\d\d/) },
  async ({ sandbox }) => {
    expect(await outOf(sandbox, READ_MASKED)).toBe("0");
    const tables =
      "cat /proc/pressure/* 2>/dev/null | wc -c; cd /proc/sys; cat fs/file-nr fs/aio-nr kernel/pty/nr | wc -c";
    expect(await outOf(sandbox, tables)).toBe("0\n0");
    expect((await bash(sandbox, "dmesg || head -c 1 /dev/kmsg || head -c 1 /proc/kmsg")).stdoutBytes).toBe(0);
  },
);

attack(
  "sees only its own group, and no path of it",
  { of: [18, 78], control: { none: "tests that run in the root group of a machine see the same outside" } },
  async ({ sandbox }) => expect(await outOf(sandbox, "cut -d: -f3 /proc/self/cgroup | sort -u")).toBe("/"),
);

attack(
  "cannot escape by a second pivot, a bind mount or a user namespace of the shell tools",
  {
    of: [15, 16],
    control: shows(
      "unshare -m true && mount -t tmpfs x /mnt && mount --bind / /mnt && chroot / true && echo all",
      /all/,
    ),
  },
  async ({ sandbox }) => {
    for (const tool of [
      "unshare -Ur true",
      "unshare -m true",
      "mount -t tmpfs x /mnt",
      "mount --bind / /mnt",
      "mount -o remount,rw /proc/sys",
      "chroot / true",
      "nsenter -t 1 -m true",
      "umount /proc",
      "umount /proc/sys",
    ])
      expect([tool, (await bash(sandbox, `${tool} 2>/dev/null`)).exitCode]).not.toEqual([tool, 0]);
  },
);

const FOREIGN = `int main(void){int r;__asm__ volatile("int $0x80":"=a"(r):"a"(20));return r<=0;}`;
const BUILD_FOREIGN = `command -v gcc >/dev/null || exit 9; echo '${FOREIGN}' > a.c && gcc -o a a.c`;
attack(
  "cannot use 32-bit calls to get past the filter",
  { of: [55], control: shows(`${BUILD_FOREIGN} && ./a && echo answered`, /answered/) },
  async ({ sandbox }) => {
    const built = await bash(sandbox, BUILD_FOREIGN);
    if (built.exitCode === 9) return; // nothing to build the attack with; the filter is the same
    const result = await sandbox.exec({ argv: ["./a"], timeoutMs: T });
    expect(result.signal).toBe("SIGSYS");
  },
);

attack(
  "cannot set the clock",
  { of: [34], control: { none: "it would set the clock of the machine" } },
  async ({ sandbox }) => {
    const before = Date.now();
    expect((await bash(sandbox, "date -s 2001-01-01")).exitCode).not.toBe(0);
    expect(Date.now()).toBeGreaterThanOrEqual(before);
  },
);

attack(
  "a clock that the program forges changes no measured time",
  { of: [34], control: { none: "the time is taken outside, where no program can turn it" } },
  async ({ sandbox }) => {
    const result = await bash(sandbox, "date() { echo 0; }; export -f date; EPOCHREALTIME=0; sleep 0.3", 5_000);
    expect(result.durationMs).toBeGreaterThanOrEqual(300);
  },
);

const PRIORITY = "chrt -f 50 true 2>/dev/null && echo real-time; nice -n -5 nice 2>/dev/null";
attack("cannot raise its priority", { of: [35], control: shows(PRIORITY, /-5/) }, async ({ sandbox }) =>
  expect(await outOf(sandbox, PRIORITY)).toBe("0"),
);

/** Sends one RTM_NEWLINK that would make a dummy interface. */
const NEW_LINK = `import socket, struct
s = socket.socket(16, 3, 0)
name = struct.pack("<HH8s", 12, 3, b"evil0")
kind = struct.pack("<HH8s", 10, 1, b"dummy")[:12]
body = struct.pack("<BxHiII", 0, 0, 0, 0, 0) + name + struct.pack("<HH", 4 + len(kind), 18) + kind
s.send(struct.pack("<IHHII", 16 + len(body), 16, 0x605, 1, 0) + body)
print(struct.unpack("<i", s.recv(4096)[16:20])[0])`;
attack(
  "changes no interface, address or route",
  { of: [22, 70], control: showsPython(NEW_LINK, /^(0|-95)$/m) }, // -95: no dummy driver, but it was let to ask
  async ({ sandbox }) => expect(await python(sandbox, NEW_LINK)).toBe("-1"),
);

export const escapeCases: readonly Attack[] = cases;
