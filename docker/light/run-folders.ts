import { readdir, readFile, readlink, rm, stat } from "node:fs/promises";
import { join } from "node:path";

/** How long a folder may be empty before it is a dead host's: it is made before the host that is given its name. */
const STARTING_MS = 10_000;

/** Start of the names of this pid namespace's socket folders: hosts of another one cannot be seen from here. */
export async function runFolderPrefix(): Promise<string> {
  const namespace = /\d+/.exec(await readlink("/proc/self/ns/pid"))?.[0] ?? "0";
  return `h-${namespace}-`;
}

/**
 * Removes socket folders whose native host no longer lives. A folder in use has a live process that was given its name, or is
 * new and empty. Those of other pid namespaces (a container that shares /run) are left to their own.
 */
export async function reapRunFolders(): Promise<void> {
  const parent = process.geteuid?.() === 0 ? "/run/polygym-light" : `/tmp/polygym-light-${process.geteuid?.() ?? 0}`;
  const prefix = await runFolderPrefix();
  const names = (await readdir(parent).catch(() => [])).filter((name) => name.startsWith(prefix));
  const started: string[] = [];
  for (const name of names) if (!(await isStarting(join(parent, name)))) started.push(join(parent, name));
  if (started.length === 0) return;
  const commands = await commandLines(); // the hosts of all of these were there before
  for (const folder of started)
    if (!commands.some((line) => line.includes(folder))) await rm(folder, { recursive: true, force: true });
}

async function isStarting(folder: string): Promise<boolean> {
  try {
    const { mtimeMs } = await stat(folder);
    return Date.now() - mtimeMs < STARTING_MS && (await readdir(folder)).length === 0;
  } catch {
    return false; // another one has removed it
  }
}

async function commandLines(): Promise<string[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  return await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")));
}
