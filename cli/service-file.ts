import { readFileSync } from "node:fs";
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";

/** `<home>/service.json`: where the service of this home answers, and which process supervises it. */
const ServiceFile = z.object({ url: z.string(), pid: z.int() });
type ServiceFile = z.infer<typeof ServiceFile>;

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

/** Takes the home for this process; false when another living one has it. */
export async function claimServiceFile(home: string, url: string): Promise<boolean> {
  if (readServiceFile(home) !== null) return false;
  await rm(pathOf(home), { force: true });
  try {
    await using file = await open(pathOf(home), "wx", 0o644);
    await file.writeFile(`${JSON.stringify({ url, pid: process.pid } satisfies ServiceFile)}\n`);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
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
