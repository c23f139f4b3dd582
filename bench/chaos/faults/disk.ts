import { execFile } from "node:child_process";
import { closeSync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Fault, now, pause, type Scene } from "../fault.ts";

/** Row 10: the disk of the data folder. */

const run = promisify(execFile);
const FULL_MS = 5_000;
const PIECE_BYTES = 64 * 1024;
const disk = { megabytes: 48, inodes: 4_000 } as const;

/** A folder of the store that the service does not look into. */
const fillerOf = ({ lab }: Scene): string => join(lab.home, "store", "filler");

/** Writes until there is no room. */
function fillBytes(path: string): void {
  const file = openSync(path, "w");
  const piece = Buffer.alloc(PIECE_BYTES);
  try {
    for (;;) writeSync(file, piece);
  } catch {
    // ENOSPC: that is what was wanted
  } finally {
    closeSync(file);
  }
}

function fillInodes(folder: string): void {
  try {
    mkdirSync(folder);
    for (let i = 0; ; i++) writeFileSync(join(folder, String(i)), "");
  } catch {
    // ENOSPC: that is what was wanted
  }
}

const full = (name: string, fill: (path: string) => void): Fault => ({
  row: 10,
  name,
  expect: "calls that need the store get 503, no trajectory is torn, and it goes on when there is room again",
  needs: { disk },
  callsWithinMs: null,
  inject: async (scene) => {
    const injected = now();
    const until = performance.now() + FULL_MS;
    // Files that the service gives up meanwhile make room: it is taken, too.
    for (let piece = 0; performance.now() < until; piece++) {
      fill(`${fillerOf(scene)}-${piece}`);
      await pause(FULL_MS / 10);
    }
    return injected;
  },
  heal: async ({ lab }) => {
    const { stdout } = await run("find", [join(lab.home, "store"), "-maxdepth", "1", "-name", "filler-*"]);
    for (const path of stdout.split("\n").filter((line) => line !== "")) rmSync(path, { recursive: true });
  },
});

export const diskFaults: readonly Fault[] = [full("disk_full", fillBytes), full("inodes_full", fillInodes)];
