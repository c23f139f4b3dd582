import { readdir, readFile } from "node:fs/promises";

/** Memory that the machine could still give, in KiB. */
export async function availableKb(): Promise<number> {
  return Number(/^MemAvailable:\s+(\d+)/m.exec(await readFile("/proc/meminfo", "utf8"))?.[1] ?? Number.NaN);
}

/** Proportional share of memory of all processes below this one, in KiB. Null where they may not be looked at. */
export async function sharesKb(): Promise<number | null> {
  let sum = 0;
  for (const pid of await descendants(process.pid)) {
    const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch((error: NodeJS.ErrnoException) =>
      error.code === "EACCES" || error.code === "EPERM" ? null : "",
    );
    if (rollup === null) return null;
    sum += Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0);
  }
  return sum;
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
