import { chownSync, copyFileSync, lchownSync, mkdirSync, mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lightBinary } from "./older-linux.ts";

const NOBODY = 65_534;

export interface OrdinaryUser {
  /** POLYGYM_HOME, owned by the user. Whoever asked for it removes it. */
  readonly home: string;
  /** The native program, built for that home. */
  readonly binary: string;
}

/**
 * Gives up root for good, where this process has it; each test file has a process of its own. What an ordinary user has
 * in places of their own, a checkout and a Node, may lie below a folder that only root may enter: both are put into the home
 * before.
 */
export async function becomeOrdinaryUser(): Promise<OrdinaryUser> {
  const home = mkdtempSync(join(tmpdir(), "polygym-user-"));
  const binary = await lightBinary(home);
  if (process.geteuid?.() !== 0) return { home, binary };
  const node = join(home, "node/bin/node");
  mkdirSync(join(home, "node/bin"), { recursive: true });
  copyFileSync(process.execPath, node);
  process.execPath = node;
  giveAway(home);
  process.setgroups?.([]);
  process.setgid?.(NOBODY);
  process.setuid?.(NOBODY);
  return { home, binary };
}

function giveAway(folder: string): void {
  chownSync(folder, NOBODY, NOBODY);
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true }))
    lchownSync(join(entry.parentPath, entry.name), NOBODY, NOBODY);
}
