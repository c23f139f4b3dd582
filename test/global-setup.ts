import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");

/** Says once, before any test, what the machine lacks, so that the failures that follow need no guessing. */
export function setup(): void {
  const major = Number(process.versions.node.split(".")[0]);
  if (major < 24) throw new Error(`the tests need Node 24, this is ${process.version}: run ./polygym test`);
  const missing = ["redis-server", "python3", "git"].filter((name) => !onPath(name));
  if (missing.length > 0)
    console.warn(`missing on this machine: ${missing.join(", ")} (./polygym doctor says what to do)`);
  if (!existsSync(join(root, "node_modules"))) throw new Error("no node_modules: run ./polygym test");
}

function onPath(name: string): boolean {
  return spawnSync("sh", ["-c", 'command -v "$1"', "sh", name]).status === 0;
}
