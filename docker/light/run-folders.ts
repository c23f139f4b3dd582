import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";

/** Removes socket folders whose native host no longer lives. A folder in use has a live process that was given its name. */
export async function reapRunFolders(): Promise<void> {
  const parent = process.geteuid?.() === 0 ? "/run/polygym-light" : `/tmp/polygym-light-${process.geteuid?.() ?? 0}`;
  const folders = (await readdir(parent).catch(() => [])).filter((name) => name.startsWith("h-"));
  if (folders.length === 0) return;
  const commands = await commandLines();
  for (const name of folders) {
    const folder = join(parent, name);
    if (!commands.some((line) => line.includes(folder))) await rm(folder, { recursive: true, force: true });
  }
}

async function commandLines(): Promise<string[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  return await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")));
}
