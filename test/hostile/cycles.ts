import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { GymError } from "../../core/errors.ts";
import type { Sandbox, SandboxProvider } from "../../core/sandbox.ts";
import { runFolderPrefix } from "../../docker/light/run-folders.ts";
import { openHere } from "../contract/sandbox-host.ts";

/** Sandboxes that are made and ended in every way that there is, and what the machine counts before and after. */

/** Enough that one which ends slowly holds few others up. */
const AT_ONCE = 25;
/** A killed native host takes all of its sandboxes along; more often would be all that is tested. */
const HOST_DIES_EVERY = 200;
const T = 20_000;

/** The same numbers for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

type Fate = (sandbox: Sandbox, provider: SandboxProvider) => Promise<unknown>;
const bash = (sandbox: Sandbox, script: string, timeoutMs = T) =>
  sandbox.exec({ argv: ["bash", "-c", script], timeoutMs });

/** Each with how many of a hundred sandboxes it is the end of. */
const FATES: readonly { readonly name: string; readonly share: number; readonly end: Fate }[] = [
  { name: "closed unused", share: 34, end: async () => undefined },
  { name: "closed after a command", share: 20, end: (sandbox) => bash(sandbox, "echo x > f; true") },
  { name: "a command kills everything", share: 8, end: (sandbox) => bash(sandbox, "sleep 99 & kill -9 -1") },
  { name: "a command is killed", share: 6, end: (sandbox) => bash(sandbox, "kill -9 $$") },
  {
    name: "closed under a running command",
    share: 6,
    end: async (sandbox) => void bash(sandbox, "setsid sleep 99 & sleep 99").catch(() => undefined),
  },
  {
    name: "the client gives up",
    share: 6,
    end: (sandbox) => sandbox.exec({ argv: ["sleep", "99"], timeoutMs: T }, AbortSignal.timeout(20)),
  },
  { name: "frozen and forked", share: 8, end: frozen },
  {
    name: "the agent is killed",
    share: 8,
    end: async (sandbox) => {
      killAgent();
      return bash(sandbox, "true");
    },
  },
  { name: "fork bomb", share: 2, end: (sandbox) => bash(sandbox, "b() { b | b & }; b; sleep 9", 150) },
  {
    name: "a shell is left open",
    share: 2,
    end: async (sandbox) => (await sandbox.shell()).run("sleep 99 &", { timeoutMs: T }),
  },
];

async function frozen(sandbox: Sandbox, provider: SandboxProvider): Promise<void> {
  await sandbox.write("f", "x".repeat(10_000));
  const snapshot = await sandbox.freeze();
  try {
    const children = await provider.fork(snapshot, 2, { owner: "cycles" });
    await Promise.all(children.map((child) => child.close()));
  } finally {
    await provider.release(snapshot);
  }
}

/** Somebody else's, mostly: which sandbox loses its agent is as good as any. */
function killAgent(): void {
  const agents = children(hostPid()).filter((pid) => argvOf(pid)[0] === "agent");
  const victim = agents.at(-1);
  if (victim !== undefined) kill(victim);
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // ended meanwhile
  }
}

function children(parent: number | undefined): number[] {
  if (parent === undefined) return [];
  try {
    return readFileSync(`/proc/${parent}/task/${parent}/children`, "utf8")
      .trim()
      .split(" ")
      .filter(Boolean)
      .map(Number);
  } catch {
    return [];
  }
}

const argvOf = (pid: number): string[] => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return [];
  }
};

export const hostPid = (): number | undefined => children(process.pid).find((pid) => argvOf(pid)[1] === "host");

const ALL_SHARES = FATES.reduce((sum, { share }) => sum + share, 0);
function pick(random: () => number) {
  let left = random() * ALL_SHARES;
  return FATES.find(({ share }) => {
    left -= share;
    return left < 0;
  });
}

/** What a lost sandbox, a killed one or a closed one answers is expected; everything else is a failure of ours. */
const expected = (error: unknown): boolean =>
  (error instanceof GymError && ["sandbox_lost", "sandbox_killed", "sandbox_unavailable"].includes(error.code)) ||
  (error instanceof Error && error.name === "TimeoutError");

export interface Cycles {
  readonly provider: SandboxProvider;
  readonly count: number;
  readonly seed: number;
}

/** Makes and ends `count` sandboxes; answers how often each fate came. Throws what nobody expects. */
export async function runCycles({ provider, count, seed }: Cycles): Promise<Readonly<Record<string, number>>> {
  const random = randomFrom(seed);
  const fates: Record<string, number> = {};
  const tally = (name: string): void => {
    fates[name] = (fates[name] ?? 0) + 1;
  };
  const one = async (): Promise<void> => {
    const fate = pick(random);
    let sandbox: Sandbox | undefined;
    try {
      sandbox = await provider.open({ image: "host", owner: "cycles", limits: { processes: 64 } });
      tally(fate?.name ?? "none");
      await fate?.end(sandbox, provider);
    } catch (error) {
      if (!expected(error)) throw error;
      tally(`… ${error instanceof GymError ? error.code : "aborted"}`);
    } finally {
      await sandbox?.close();
    }
  };
  for (let done = 0; done < count; done += AT_ONCE) {
    const batch = Array.from({ length: Math.min(AT_ONCE, count - done) }, one);
    if (done % HOST_DIES_EVERY === HOST_DIES_EVERY - AT_ONCE) {
      await pause(random() * 10);
      const host = hostPid();
      if (host !== undefined) kill(host);
      tally("the native host is killed");
    }
    await Promise.all(batch);
  }
  return fates;
}

/** Everything that a sandbox could leave. Kernel-wide figures move by themselves: they have a slack. */
export interface Counts {
  readonly agents: number;
  readonly groups: number;
  readonly sockets: number;
  readonly mounts: number;
  readonly ownDescriptors: number;
  readonly hostDescriptors: number;
  readonly zombies: number;
  readonly deadFolders: number;
  readonly memoryGroups: number;
  readonly networkNamespaces: number;
  readonly mountObjects: number;
  readonly sharedMemoryMib: number;
  readonly hostMib: number;
}

/** How much more than before is still the same. */
export const SLACK: Counts = {
  agents: 0,
  groups: 0,
  sockets: 0,
  mounts: 0,
  ownDescriptors: 4,
  hostDescriptors: 0,
  zombies: 0,
  deadFolders: 0,
  // Of the whole machine, on which other programs and tests run.
  memoryGroups: 60,
  networkNamespaces: 30,
  mountObjects: 600,
  sharedMemoryMib: 256,
  hostMib: 4,
};

export async function countAll(): Promise<Counts> {
  const host = hostPid();
  const prefix = await runFolderPrefix();
  const commands = folders("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => read(`/proc/${pid}/cmdline`));
  const isDead = (name: string): boolean => name.startsWith(prefix) && !commands.some((line) => line.includes(name));
  return {
    ...openHere(),
    mounts: read("/proc/self/mountinfo").split("polygym-light").length - 1,
    ownDescriptors: entries("/proc/self/fd"),
    hostDescriptors: host === undefined ? 0 : entries(`/proc/${host}/fd`),
    zombies: [...children(process.pid), ...children(host)].filter((pid) => / Z /.test(read(`/proc/${pid}/stat`)))
      .length,
    deadFolders: folders("/run/polygym-light").filter(isDead).length,
    memoryGroups: Number(/^memory\t\d+\t(\d+)/m.exec(read("/proc/cgroups"))?.[1] ?? 0),
    networkNamespaces: slab("net_namespace"),
    mountObjects: slab("mnt_cache"),
    sharedMemoryMib: kib(read("/proc/meminfo"), "Shmem") / 1024,
    hostMib: host === undefined ? 0 : kib(read(`/proc/${host}/status`), "VmRSS") / 1024,
  };
}

const read = (path: string): string => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // not on this kernel, not for this user, or ended meanwhile
  }
};
const folders = (path: string): string[] => {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
};
const entries = (path: string): number => folders(path).length;
const slab = (name: string): number =>
  Number(new RegExp(`^${name}\\s+(\\d+)`, "m").exec(read("/proc/slabinfo"))?.[1] ?? 0);
const kib = (text: string, name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0);

/** The counts that are above what they were, by more than their slack. */
export function above(before: Counts, now: Counts): Partial<Counts> {
  return Object.fromEntries(
    Object.entries(now).filter(([name, value]) => {
      const [was, slack] = [Reflect.get(before, name), Reflect.get(SLACK, name)];
      return typeof was !== "number" || typeof slack !== "number" || value > was + slack;
    }),
  );
}
