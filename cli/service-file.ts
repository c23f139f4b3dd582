import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import * as z from "zod";
import { CommandError, EXIT } from "./exit-codes.ts";

/** `<home>/service.json`: where the service of this home answers, and which process supervises it. */
const ServiceFile = z.object({ url: z.string(), pid: z.int() });
type ServiceFile = z.infer<typeof ServiceFile>;

/** A claim takes milliseconds. */
const LOCK_WAIT_MS = 2_000;
const SQLITE_BUSY = 5;

const pathOf = (home: string): string => join(home, "service.json");

/** The living service of this home, or null. It may still be starting. */
export function readServiceFile(home: string): ServiceFile | null {
  let text: string;
  try {
    text = readFileSync(pathOf(home), "utf8");
  } catch {
    return null; // no file, no service
  }
  const parsed = ServiceFile.safeParse(parseOrNull(text));
  return parsed.success && isAlive(parsed.data.pid) ? parsed.data : null;
}

/** Takes the home for this process; false when another living one has it, or takes it just now. */
export function claimServiceFile(home: string, url: string): boolean {
  using alone = lock(home);
  if (alone === null || readServiceFile(home) !== null) return false;
  rmSync(pathOf(home), { force: true });
  const text = `${JSON.stringify({ url, pid: process.pid } satisfies ServiceFile)}\n`;
  writeFileSync(pathOf(home), text, { flag: "wx", mode: 0o644 });
  return true;
}

/**
 * One claim at a time; null: another is at it. The kernel frees the lock of a process that dies, which a lock file of our own
 * would not be.
 */
function lock(home: string): Disposable | null {
  const path = join(home, "service.lock");
  let database: DatabaseSync | null = null;
  try {
    database = new DatabaseSync(path, { timeout: LOCK_WAIT_MS });
    database.exec("BEGIN EXCLUSIVE");
    const held = database;
    return { [Symbol.dispose]: () => held.close() };
  } catch (error) {
    database?.close();
    if (error instanceof Error && "errcode" in error && error.errcode === SQLITE_BUSY) return null;
    const why = error instanceof Error ? error.message : String(error);
    throw new CommandError(
      EXIT.failed,
      `${path} cannot be locked: ${why}`,
      "let this user write that file, e.g. by sudo rm of one that another user made, or choose another home with POLYGYM_HOME",
    );
  }
}

export async function releaseServiceFile(home: string): Promise<void> {
  if (readServiceFile(home)?.pid === process.pid) await rm(pathOf(home), { force: true });
}

function parseOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
