import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

/**
 * What one service could leave on the machine: processes, control groups, mounts, socket folders, named network
 * namespaces, temporary files. Other services on the machine are not counted: everything is known by a process of ours.
 */

const HIERARCHIES = ["memory", "pids", "cpu", "cpuset", "freezer", "unified", "."];
const SOCKET_FOLDERS = ["/run/polygym-light", `/tmp/polygym-light-${process.geteuid?.() ?? 0}`];

export interface Footprint {
  /** Looks at the processes of the service; call it now and then while it runs. */
  observe(): void;
  /** What is left of it, each as a sentence. After its end. */
  leftovers(): string[];
}

export interface FootprintOptions {
  readonly home: string;
  /** Folder of its sockets. */
  readonly runDir: string;
  /** Folder of its temporary files. */
  readonly tmp: string;
}

export function footprintOf({ home, runDir, tmp }: FootprintOptions): Footprint {
  const marker = `POLYGYM_HOME=${home}`;
  /** Native hosts of sandboxes seen so far, with their socket folders: hosts have no environment to know them by. */
  const hosts = new Map<number, string>();
  const namespaces = new Set(names("/run/netns"));
  const observe = (): void => {
    for (const { pid, folder } of hostsBelow(marker)) hosts.set(pid, folder);
  };
  const leftovers = (): string[] => {
    const processes = allProcesses();
    const groups = groupNames().filter(({ owner }) => hosts.has(owner));
    const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
    return [
      ...processes.filter((pid) => environmentOf(pid).includes(marker)).map((pid) => `process ${pid} of the service`),
      ...processes.filter((pid) => isIn(pid, hosts)).map((pid) => `process ${pid} of a sandbox`),
      ...groups.map(({ path }) => `control group ${path}`),
      ...[...hosts.values()].filter(exists).map((folder) => `sockets in ${folder}`),
      ...mounts
        .filter((line) => line.includes(`${home}/`) && !line.includes(`${home}/store `))
        .map((line) => `mount ${line.split(" ")[4]}`),
      ...names("/run/netns").filter((name) => !namespaces.has(name) && name.startsWith("polygym")),
      ...names(runDir).map((name) => `socket ${join(runDir, name)}`),
      ...names(tmp).map((name) => `temporary file ${join(tmp, name)}`),
    ];
  };
  return { observe, leftovers };
}

function hostsBelow(marker: string): { pid: number; folder: string }[] {
  const workers = new Set(allProcesses().filter((pid) => environmentOf(pid).includes(marker)));
  return allProcesses().flatMap((pid) => {
    const [program, verb, folder] = commandOf(pid);
    const isHost = verb === "host" && program?.includes("/tools/light-") === true;
    return isHost && folder !== undefined && workers.has(parentOf(pid)) ? [{ pid, folder }] : [];
  });
}

/** Native hosts of the sandboxes of one worker. */
export const hostOf = (worker: number): number | null =>
  allProcesses().find((pid) => parentOf(pid) === worker && commandOf(pid)[1] === "host") ?? null;

/** First processes of the sandboxes of a native host. */
export const agentsOf = (host: number): number[] =>
  allProcesses().filter((pid) => commandOf(pid)[0] === "agent" && parentOf(pid) === host);

/** The process of the service with this id; null when it has ended. It is there before its presence is. */
export const processOf = (id: string): number | null =>
  allProcesses().find(
    (pid) =>
      environmentOf(pid).includes(`POLYGYM_PROCESS_ID=${id}`) &&
      commandOf(pid).some((word) => word.endsWith("/main.ts")),
  ) ?? null;

export const allProcesses = (): number[] =>
  names("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

const textOf = (path: string): string => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // it ended meanwhile
  }
};

const commandOf = (pid: number): string[] => textOf(`/proc/${pid}/cmdline`).split("\0");
const environmentOf = (pid: number): string[] => textOf(`/proc/${pid}/environ`).split("\0");

function parentOf(pid: number): number {
  const stat = textOf(`/proc/${pid}/stat`);
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1] ?? 0);
}

/** True when the process is in a control group of one of these hosts. */
function isIn(pid: number, hosts: ReadonlyMap<number, string>): boolean {
  const groups = textOf(`/proc/${pid}/cgroup`);
  return [...groups.matchAll(/\/polygym\/\d+-(\d+)-\d+/g)].some((match) => hosts.has(Number(match[1])));
}

function groupNames(): { owner: number; path: string }[] {
  const namespace = /\d+/.exec(readlinkSync("/proc/self/ns/pid"))?.[0];
  return HIERARCHIES.flatMap((hierarchy) => {
    const folder = `/sys/fs/cgroup/${hierarchy}/polygym`;
    return names(folder).flatMap((name) => {
      const [, space, owner] = /^(\d+)-(\d+)-\d+$/.exec(name) ?? [];
      return owner !== undefined && space === namespace ? [{ owner: Number(owner), path: join(folder, name) }] : [];
    });
  });
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

const exists = (folder: string): boolean =>
  SOCKET_FOLDERS.some((parent) => names(parent).some((name) => join(parent, name) === folder));
