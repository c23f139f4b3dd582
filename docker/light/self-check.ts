import type { Sandbox, SelfCheck } from "../../core/sandbox.ts";
import type { HostAbilities } from "./host-process.ts";

const GROUPS = [
  { bit: 1, what: "memory of the whole sandbox, its files included" },
  { bit: 2, what: "number of processes" },
  { bit: 4, what: "processor time" },
  { bit: 8, what: "processor cores (nproc)" },
] as const;

/** Always enforced where a sandbox opens at all. */
const ALWAYS = ["file system", "processes", "network", "disk and inode quota", "system-call filter", "time-outs"];

/** Claims nothing on paper: it opens a sandbox and tries. */
export async function selfCheck(abilities: HostAbilities, open: () => Promise<Sandbox>): Promise<SelfCheck> {
  const enforced: string[] = [...ALWAYS];
  const missing: { what: string; advice: string }[] = [];
  for (const { bit, what } of GROUPS) {
    if (abilities.groups & bit) enforced.push(what);
    else missing.push({ what, advice: groupAdvice(bit, abilities.rootMode) });
  }
  if (abilities.ownIds) enforced.push("an id range of its own");
  else if (abilities.rootMode) {
    const advice = "use Linux 6.3 or newer: the sandboxes of a worker share one range of ids here";
    missing.push({ what: "kernel allowances of its own: inotify, pipes and pending signals", advice });
    missing.push({ what: "separation by user id", advice });
  } else {
    const advice = "run the worker as root for a separate id range and devices per sandbox";
    missing.push({ what: "kernel allowances of its own: inotify, pipes and pending signals are the user's", advice });
    missing.push({ what: "separation by user id; locks on /dev are shared between sandboxes", advice });
  }
  if (!abilities.rootMode && process.geteuid?.() === 0) {
    const advice = "give the worker all capabilities, or run it as an ordinary user: its sandboxes run as this root";
    missing.push({ what: "an id other than root's", advice });
  }
  await using sandbox = await open();
  const writable = await sandbox.exec({ argv: ["/bin/sh", "-c", "test -w /usr/bin/env"], timeoutMs: 10_000 });
  if (writable.exitCode === 0) enforced.push("system folders that a sandbox may change for itself");
  else {
    const advice = "keep the system on a file system that can map ids (ext4, xfs, tmpfs) and run as root";
    missing.push({ what: "system folders are read-only inside", advice });
  }
  const probe = await sandbox.exec({
    argv: [
      "/bin/sh",
      "-c",
      "(echo x >/proc/sys/kernel/core_pattern) 2>/dev/null && echo core_pattern; ls /proc | grep -c '^[0-9]'",
    ],
    timeoutMs: 10_000,
  });
  const said = Buffer.from(probe.stdout).toString();
  if (probe.exitCode !== 0 && probe.exitCode !== 1) missing.push({ what: "running a command", advice: "see the log" });
  if (said.includes("core_pattern")) missing.push({ what: "a read-only /proc/sys", advice: "do not run tasks here" });
  return { tier: "light", mode: abilities.rootMode ? "root" : "user", enforced, missing };
}

function groupAdvice(bit: number, rootMode: boolean): string {
  const instead =
    bit === 1 ? " (it is watched ten times a second instead)" : bit === 2 ? " (a per-user limit is used instead)" : "";
  return `${rootMode ? "mount the control groups writable" : "run the worker as root"}${instead}`;
}
