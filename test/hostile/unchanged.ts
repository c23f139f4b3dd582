import { readdirSync, readFileSync, statSync } from "node:fs";
import { expect } from "vitest";
import type { Sandbox } from "../../core/sandbox.ts";
import { openHere } from "../contract/sandbox-host.ts";
import { decode, until } from "../contract/sandbox-tools.ts";

/** What no program in a sandbox may change about the machine, however it ended. */

const SETTINGS = [
  "kernel/core_pattern",
  "kernel/core_uses_pid",
  "kernel/modprobe",
  "kernel/hostname",
  "kernel/domainname",
  "kernel/randomize_va_space",
  "kernel/sched_rt_runtime_us",
  "fs/suid_dumpable",
  "vm/overcommit_memory",
  "vm/drop_caches",
  "user/max_user_namespaces",
];
const FILES = ["/etc/passwd", "/etc/group", "/etc/shadow", "/usr/bin/env", "/bin/bash", "/dev/null"];
/** Clocks of a machine drift; a program that sets one means seconds. */
const CLOCK_MS = 5_000;
/** Sockets and files that this process opens and closes by itself meanwhile. */
const OWN_DESCRIPTORS = 60;

interface Machine {
  readonly settings: Readonly<Record<string, string>>;
  readonly files: readonly string[];
  readonly root: readonly string[];
  readonly devices: number;
  readonly descriptors: number;
  readonly clock: number;
}

function lookAtMachine(): Machine {
  return {
    settings: Object.fromEntries(SETTINGS.map((name) => [name, setting(name)])),
    files: FILES.map(fileState),
    root: readdirSync("/").sort(),
    devices: readdirSync("/dev").length,
    descriptors: readdirSync("/proc/self/fd").length,
    clock: Date.now() - performance.now(),
  };
}

function setting(name: string): string {
  try {
    return readFileSync(`/proc/sys/${name}`, "utf8");
  } catch {
    return "unreadable"; // as an ordinary user
  }
}

function fileState(path: string): string {
  const { mode, uid, gid, size, mtimeMs, ino, nlink } = statSync(path);
  return JSON.stringify([
    path,
    mode,
    uid,
    gid,
    path === "/dev/null" ? 0 : size,
    path === "/dev/null" ? 0 : mtimeMs,
    ino,
    nlink,
  ]);
}

/** Looks now; the answer is to be called after every attack and fails when the machine is not as it was. */
export function watchMachine(): () => Promise<void> {
  const before = lookAtMachine();
  return async () => {
    const { descriptors, clock, ...after } = lookAtMachine();
    expect(after).toEqual({
      settings: before.settings,
      files: before.files,
      root: before.root,
      devices: before.devices,
    });
    expect(descriptors).toBeLessThan(before.descriptors + OWN_DESCRIPTORS);
    expect(Math.abs(clock - before.clock)).toBeLessThan(CLOCK_MS);
    await until("no process, group or socket of an attack is left", () =>
      Object.values(openHere()).every((count) => count === 0),
    );
  };
}

/** The sandbox that comes after an attack works as the first one did. */
export async function worksAsNew(sandbox: Sandbox): Promise<void> {
  expect((await sandbox.write("fresh", "made")).ok).toBe(true);
  const argv = ["bash", "-c", "cat fresh; ls -A /workspace /tmp /dev/shm | wc -w; ls -d /proc/[0-9]* | wc -l"];
  const result = await sandbox.exec({ argv, timeoutMs: 30_000 });
  const [first = "", processes = ""] = decode(result.stdout).trim().split("\n");
  expect(first).toBe("made4"); // three headings and the file
  expect(Number(processes)).toBeLessThan(8);
  expect((await sandbox.remove("fresh")).ok).toBe(true);
}
