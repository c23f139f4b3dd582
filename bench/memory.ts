import { readdir, readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

/** Environment of a service whose processes collect their garbage at SIGWINCH. */
export const COLLECTING = {
  NODE_OPTIONS: `--expose-gc --import ${JSON.stringify(
    `data:text/javascript,process.on("SIGWINCH",()=>{for(let i=0;i<3;i++)gc()})`,
  )}`,
};
/** Pages go back to the machine a little after the collection. */
const COLLECTED_MS = 1_000;

/** Memory that the machine could still give, in KiB. */
export async function availableKb(): Promise<number> {
  return Number(/^MemAvailable:\s+(\d+)/m.exec(await readFile("/proc/meminfo", "utf8"))?.[1] ?? Number.NaN);
}

/** Proportional share of memory of all processes below this one, in KiB. Null where they may not be looked at. */
export async function sharesKb(): Promise<number | null> {
  let sum = 0;
  for (const pid of await descendants(process.pid)) {
    const share = await shareKb(pid);
    if (share === null) return null;
    sum += share;
  }
  return sum;
}

/** KiB of a service's own processes: what runs inside its sandboxes is not ours. */
export interface ServiceMemory {
  readonly server: number;
  readonly workers: number;
  readonly redis: number;
  /** The native helper and the agent of every sandbox. */
  readonly sandboxes: number;
}

const KINDS: readonly (readonly [keyof ServiceMemory, RegExp])[] = [
  ["server", /server\/main\.ts/],
  ["workers", /workers\/main\.ts/],
  ["redis", /redis-server/],
  ["sandboxes", /^agent |\/light-[0-9a-f]+/],
];

/**
 * Proportional shares of the processes below `root`, so that what they have in common counts once; after a collection, since a
 * young process grows until its collector has to work. Of a service that was started with {@link COLLECTING}.
 */
export async function serviceMemory(root: number): Promise<ServiceMemory> {
  const own = await ownProcesses(root);
  for (const { pid, kind } of own) if (kind === "server" || kind === "workers") process.kill(pid, "SIGWINCH");
  await delay(COLLECTED_MS);
  const sums = { server: 0, workers: 0, redis: 0, sandboxes: 0 };
  for (const { pid, kind } of own) sums[kind] += (await shareKb(pid)) ?? 0;
  return sums;
}

async function ownProcesses(root: number): Promise<{ pid: number; kind: keyof ServiceMemory }[]> {
  const found: { pid: number; kind: keyof ServiceMemory }[] = [];
  for (const pid of await descendants(root)) {
    const command = (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).replaceAll("\0", " "); // it has ended meanwhile
    const kind = KINDS.find(([, pattern]) => pattern.test(command))?.[0];
    if (kind !== undefined) found.push({ pid, kind });
  }
  return found;
}

export const totalKb = (memory: ServiceMemory): number =>
  memory.server + memory.workers + memory.redis + memory.sandboxes;

/** Growth of `y` for each `x`, by least squares. */
export function slope(points: readonly { readonly x: number; readonly y: number }[]): number {
  const mean = (of: (point: { x: number; y: number }) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const [x, y] = [mean((p) => p.x), mean((p) => p.y)];
  const covariance = mean((p) => (p.x - x) * (p.y - y));
  return covariance / mean((p) => (p.x - x) ** 2);
}

async function shareKb(pid: number): Promise<number | null> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch((error: NodeJS.ErrnoException) =>
    error.code === "EACCES" || error.code === "EPERM" ? null : "",
  );
  return rollup === null ? null : Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0);
}

async function descendants(root: number): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const children = new Map<number, number[]>();
  for (const pid of pids) {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => ""); // it has ended meanwhile
    const parent = Number(/^\d+ \(.*\) \S (\d+)/s.exec(stat)?.[1] ?? 0);
    children.set(parent, [...(children.get(parent) ?? []), Number(pid)]);
  }
  const found: number[] = [];
  for (let level = children.get(root) ?? []; level.length > 0; level = level.flatMap((pid) => children.get(pid) ?? []))
    found.push(...level);
  return found;
}
