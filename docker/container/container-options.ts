import { readFileSync } from "node:fs";
import { join } from "node:path";
import type Docker from "dockerode";
import type { SandboxLimits } from "../../core/sandbox.ts";
import type { EngineTraits } from "./engine-needs.ts";
import { bindMounts, type HostFolders, overlayVolumes } from "./folder-mounts.ts";
import { labelsOf } from "./owners.ts";

/**
 * How a container is closed up. Covers: no network, no capability for commands, no new privileges, our own list of kernel
 * calls, read-only root file system, quotas on every place that can be written, bounded memory, processes, cores and
 * descriptors, no log on the host's disk, nothing of the image that could act by itself (entry point, health check, volumes,
 * working folder). Does not cover: a bug of the kernel or of runc; locks on the
 * few kernel objects that the containers of an engine share (/proc/self/ns/time and ns/user).
 */

/** Where the agent and its socket are mounted, read-only. */
export const AGENT_FOLDER = "/.polygym";
/** Folders that can be written, and their share of the disk limit in sixteenths. */
const WRITABLE = [
  { path: "/workspace", share: 16, mode: "755" },
  { path: "/tmp", share: 4, mode: "1777" },
  { path: "/root", share: 2, mode: "755" },
  { path: "/var/tmp", share: 1, mode: "1777" },
  { path: "/run", share: 1, mode: "755" },
] as const;
/** What the agent, small commands and the kernel need beside the files. */
const RESERVE = 64 * 1024 * 1024;
const MIB = 1024 * 1024;
/** Of one user on the machine; how many one container has is PidsLimit. */
const MOST_PROCESSES = 30_000;
const seccompFile = join(import.meta.dirname, "seccomp.json");

/** What tells about the machine or its other sandboxes reads as empty: the engine's own list and ours. */
const MASKED = [
  ...["acpi", "asound", "driver", "scsi", "pressure"],
  ...[
    "buddyinfo",
    "cgroups",
    "cmdline",
    "config.gz",
    "diskstats",
    "interrupts",
    "iomem",
    "ioports",
    "kallsyms",
    "kcore",
  ],
  ...[
    "key-users",
    "keys",
    "kmsg",
    "kpagecgroup",
    "kpagecount",
    "kpageflags",
    "latency_stats",
    "locks",
    "mdstat",
    "modules",
  ],
  ...[
    "pagetypeinfo",
    "partitions",
    "sched_debug",
    "schedstat",
    "slabinfo",
    "softirqs",
    "swaps",
    "timer_list",
    "timer_stats",
  ],
  ...["vmallocinfo", "vmstat", "zoneinfo", "sys/fs/aio-nr", "sys/fs/file-nr", "sys/fs/inode-nr", "sys/fs/inode-state"],
  ...["sys/fs/dentry-state", "sys/kernel/pty/nr", "sys/kernel/random/boot_id"],
].map((name) => `/proc/${name}`);
const MASKED_SYS = [
  "firmware",
  "kernel",
  "block",
  "class",
  "module",
  "bus",
  "dev",
  "power",
  "hypervisor",
  "devices/virtual",
].map((name) => `/sys/${name}`);
const READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/** The first process needs them to change ids, to end commands and to freeze; a command's exec leaves it none. */
const AGENT_CAPABILITIES = ["SETUID", "SETGID", "KILL", "DAC_OVERRIDE"];

export interface ContainerFields {
  readonly name: string;
  readonly image: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly limits: SandboxLimits;
  /** Processor cores, e.g. "0" or "0-1". */
  readonly cpuset: string;
  /** User and group of commands; unique, since some allowances of the kernel are per user. */
  readonly commandId: number;
  readonly traits: EngineTraits;
  /** The native program on this machine. */
  readonly binary: string;
  /** Folder with the socket, on this machine. */
  readonly socketFolder: string;
  /** Of this machine; null when nothing. */
  readonly host: HostFolders | null;
  /** More read-only mounts, `source:target:ro`. */
  readonly binds: readonly string[];
  /** Folders of the image that must not be seen. */
  readonly hidden: readonly string[];
  /** Folders that the image declares as volumes: they would be without a quota. */
  readonly volumes: readonly string[];
  /** E.g. "runsc". (Default: the engine's) */
  readonly runtime?: string | null | undefined;
}

/** Paths that can be written in a container of this image. */
export function writableRoots(volumes: readonly string[]): string[] {
  const own = WRITABLE.map(({ path }) => path as string);
  return [...own, ...volumes.filter((path) => !own.some((root) => path === root || path.startsWith(`${root}/`)))];
}

/** All memory file systems together stay below the memory limit, so that a full disk is an error and not a killed command. */
export function boundContainerLimits(limits: SandboxLimits): SandboxLimits {
  const memoryBytes = Math.max(limits.memoryBytes, RESERVE);
  const room = Math.max(memoryBytes - RESERVE - sharedMemory(memoryBytes), 8 * MIB);
  const shares = WRITABLE.reduce((sum, { share }) => sum + share, 0);
  return { ...limits, memoryBytes, diskBytes: Math.min(limits.diskBytes, Math.floor((room * 16) / shares)) };
}

function sharedMemory(memoryBytes: number): number {
  return Math.floor(Math.min(memoryBytes / 8, RESERVE));
}

export function containerOptions(fields: ContainerFields): Docker.ContainerCreateOptions {
  return {
    name: fields.name,
    Image: fields.image,
    Entrypoint: [
      ...[`${AGENT_FOLDER}/agent`, "container", `${AGENT_FOLDER}/socket/agent.sock`, String(fields.commandId)],
      ...(fields.traits.memoryFolders === "plain" ? writableRoots(fields.volumes) : []),
    ],
    Cmd: [],
    User: "0:0",
    Hostname: "sandbox",
    WorkingDir: "/", // an image's own could be /proc/self/fd/N (CVE-2024-21626)
    Env: [],
    Healthcheck: { Test: ["NONE"] },
    Labels: { ...fields.labels },
    NetworkDisabled: true,
    AttachStdin: false,
    AttachStdout: false,
    AttachStderr: false,
    HostConfig: hostConfig(fields),
  };
}

/** The types of dockerode do not know this one yet. */
type HostConfig = Docker.HostConfig & { readonly CgroupnsMode: "private" };

function hostConfig(fields: ContainerFields): HostConfig {
  const { limits } = fields;
  return {
    ...(fields.runtime ? { Runtime: fields.runtime } : {}),
    CapDrop: ["ALL"],
    CapAdd: AGENT_CAPABILITIES,
    SecurityOpt: [
      "no-new-privileges",
      ...(fields.traits.masks === "option" ? [`mask=${[...MASKED, ...MASKED_SYS].join(":")}`] : []),
      `seccomp=${fields.traits.seccomp === "file" ? seccompFile : seccompProfile()}`,
    ],
    Privileged: false,
    NetworkMode: "none",
    IpcMode: "private",
    PidMode: "",
    CgroupnsMode: "private",
    PidsLimit: limits.processes,
    Memory: limits.memoryBytes,
    MemorySwap: limits.memoryBytes,
    CpusetCpus: fields.cpuset,
    NanoCpus: Math.max(10_000_000, Math.round(limits.cpus * 1e9)),
    Ulimits: ulimits(),
    ShmSize: sharedMemory(limits.memoryBytes),
    ReadonlyRootfs: true,
    Tmpfs: memoryFolders(fields),
    Binds: [
      `${fields.binary}:${AGENT_FOLDER}/agent:ro`,
      `${fields.socketFolder}:${AGENT_FOLDER}/socket:ro`,
      ...fields.binds,
      ...(fields.host ? bindMounts(fields.host) : []),
    ],
    Mounts: fields.host ? overlayVolumes(fields.host, labelsOf(fields.name, fields.labels)) : [],
    MaskedPaths: [...MASKED, ...MASKED_SYS],
    ReadonlyPaths: READ_ONLY,
    LogConfig: { Type: "none", Config: {} },
    RestartPolicy: { Name: "no" },
    AutoRemove: false, // how it ended is asked for afterwards
  };
}

/** Sizes of files are the quotas' affair: a file of holes may be longer than they are. */
function ulimits(): { Name: string; Soft: number; Hard: number }[] {
  return [
    { Name: "core", Soft: 0, Hard: 0 },
    { Name: "nofile", Soft: 1024, Hard: 4096 },
    { Name: "msgqueue", Soft: 819_200, Hard: 819_200 },
    // Else Podman asks for more than this machine may give; agents of all containers count together.
    { Name: "nproc", Soft: MOST_PROCESSES, Hard: MOST_PROCESSES },
  ];
}

function memoryFolders(fields: ContainerFields): Record<string, string> {
  const { limits, commandId, traits } = fields;
  const plain = traits.memoryFolders === "plain";
  const options = (bytes: number, inodes: number, mode: string): string =>
    plain
      ? `rw,exec,nosuid,nodev,notmpcopyup,size=${Math.floor(bytes)},mode=1777`
      : `rw,exec,nosuid,nodev,size=${Math.floor(bytes)},nr_inodes=${Math.floor(inodes)},mode=${mode},uid=${commandId},gid=${commandId}`;
  const folders: Record<string, string> = {};
  for (const path of fields.volumes) folders[path] = options(limits.diskBytes / 16, inodesOf(limits, 1), "755");
  for (const { path, share, mode } of WRITABLE)
    folders[path] = options((limits.diskBytes * share) / 16, inodesOf(limits, share), mode);
  for (const path of fields.hidden)
    folders[path] = `ro,nosuid,nodev,noexec,size=4k,${plain ? "" : "nr_inodes=2,"}mode=555`;
  return folders;
}

/** The workspace has exactly what was asked for; small quotas would leave nothing for the others. */
function inodesOf(limits: SandboxLimits, share: number): number {
  return share === 16 ? limits.inodes : Math.max((limits.inodes * share) / 16, 64);
}

/** The engine takes the profile itself, not a path; without the comments, which older engines do not know. */
function seccompProfile(): string {
  return JSON.stringify(JSON.parse(readFileSync(seccompFile, "utf8")), (key, value: unknown) =>
    key === "comment" ? undefined : value,
  );
}
