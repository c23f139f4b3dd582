import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** What sandboxes could leave on a machine. Only what this process's own native hosts own is counted. */
export interface Leftovers {
  readonly processes: number;
  readonly groups: number;
  readonly mounts: number;
}

const HIERARCHIES = ["memory", "pids", "cpu", "cpuset", "unified", "."];

export function leftovers(): Leftovers {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8");
  return {
    processes: hostChildren().length,
    groups: groupsOf(process.pid),
    mounts: mounts.split("polygym-light").length - 1,
  };
}

/** What open sandboxes hold on this machine; all 0 when every one is closed, though their native host still runs. */
export interface OpenHere {
  readonly agents: number;
  readonly groups: number;
  readonly sockets: number;
}

export function openHere(): OpenHere {
  const hosts = hostChildren();
  const agents = hosts.filter((pid) => read(`/proc/${pid}/cmdline`).startsWith("agent\0")).length;
  let groups = 0;
  for (const hierarchy of HIERARCHIES) {
    for (const owner of names(`/sys/fs/cgroup/${hierarchy}/polygym`)) {
      if (!hosts.includes(owner.split("-")[1] ?? "")) continue;
      groups += names(`/sys/fs/cgroup/${hierarchy}/polygym/${owner}`).filter((name) => /^s\d+$/.test(name)).length;
    }
  }
  const sockets = hosts.map((pid) => read(`/proc/${pid}/cmdline`).split("\0")).filter((argv) => argv[1] === "host");
  return {
    agents,
    groups,
    sockets: sockets.flatMap((argv) => names(argv[2] ?? "")).filter((name) => /^\d+$/.test(name)).length,
  };
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // ended meanwhile
  }
}

/** Live native processes that descend from this one. */
function hostChildren(): string[] {
  const parents = new Map<string, { parent: string; command: string }>();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      parents.set(pid, { parent: stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1] ?? "", command });
    } catch {
      // ended meanwhile
    }
  }
  const own = String(process.pid);
  return [...parents.keys()].filter((pid) => {
    const { command } = parents.get(pid) ?? { command: "" };
    if (!command.includes("/tools/light-") && !command.startsWith("agent\0")) return false;
    for (let at = parents.get(pid)?.parent, steps = 0; at && steps < 50; at = parents.get(at)?.parent, steps++) {
      if (at === own) return true;
    }
    return false;
  });
}

/** Groups of this pid namespace whose owner is a process that no longer lives, or a child of `pid`. */
function groupsOf(pid: number): number {
  let found = 0;
  const namespace = /\d+/.exec(readlinkSync("/proc/self/ns/pid"))?.[0];
  for (const hierarchy of HIERARCHIES) {
    for (const owner of names(`/sys/fs/cgroup/${hierarchy}/polygym`)) {
      const [, space, host] = /^(\d+)-(\d+)-\d+$/.exec(owner) ?? [];
      if (host && space === namespace && isChildOrDead(host, pid)) found++;
    }
  }
  return found;
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function isChildOrDead(host: string, parent: number): boolean {
  try {
    const stat = readFileSync(`/proc/${host}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1] === String(parent);
  } catch {
    return true;
  }
}
