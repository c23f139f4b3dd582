import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import * as z from "zod";
import { Digest } from "../../core/ids.ts";
import type { ImageDefinition } from "../light/image.ts";
import { imageSkeleton } from "./skeleton.ts";

/** What is known about an image that was built, in `<home>/images/<name>/current.json`. */
const ImageRecord = z.object({
  name: z.string().regex(/^[a-z][a-z0-9-]{0,30}$/),
  /** Of its content: the packages and versions in it, or the engine's id. */
  digest: Digest,
  createdAt: z.int(),
  source: z.enum(["packages", "engine"]),
  /** Folders of its layers, topmost first. */
  lowers: z.array(z.string().startsWith("/")).min(1),
  path: z.string(),
  runtimes: z.record(z.string(), z.object({ path: z.string(), version: z.string() })),
  /** A container of the engine that was made and never started: it keeps the layers from being removed. */
  pin: z.string().nullable(),
});
export type ImageRecord = z.infer<typeof ImageRecord>;

export function imageFolder(home: string, name: string): string {
  return join(home, "images", name);
}

export async function saveRecord(home: string, record: ImageRecord): Promise<void> {
  const folder = imageFolder(home, record.name);
  await mkdir(folder, { recursive: true });
  const part = join(folder, `current.json.${process.pid}`);
  await writeFile(part, JSON.stringify(record));
  await rename(part, join(folder, "current.json"));
}

export async function readRecord(home: string, name: string): Promise<ImageRecord | null> {
  const text = await readFile(join(imageFolder(home, name), "current.json"), "utf8").catch(() => null);
  const parsed = text === null ? null : ImageRecord.safeParse(JSON.parse(text));
  return parsed?.success ? parsed.data : null;
}

/** Every image that was built and whose layers are still there. */
export async function listRecords(home: string): Promise<ImageRecord[]> {
  const names = await readdir(join(home, "images")).catch(() => []);
  const records = await Promise.all(names.map((name) => readRecord(home, name)));
  const whole = await Promise.all(records.map(async (record) => record !== null && (await allThere(record.lowers))));
  const found = records.filter((record, i): record is ImageRecord => record !== null && whole[i] === true);
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** For the light tier. Images that were built later are seen by the next provider. */
export async function storedImages(home: string): Promise<ImageDefinition[]> {
  return await Promise.all((await listRecords(home)).map((record) => definitionOf(home, record)));
}

export async function definitionOf(home: string, record: ImageRecord): Promise<ImageDefinition> {
  return {
    info: { image: record.name, digest: record.digest, runtimes: record.runtimes },
    skeleton: await imageSkeleton(home),
    mounts: [{ target: "", lowers: record.lowers, masks: [] }],
    path: record.path,
  };
}

/** Removes layers below `<home>/images` that no image uses any more; answers the freed folders. */
export async function removeUnused(home: string): Promise<string[]> {
  const records = await listRecords(home);
  const used = new Set(records.flatMap((record) => record.lowers).map((lower) => dirname(lower)));
  const removed: string[] = [];
  for (const name of await readdir(join(home, "images"), { withFileTypes: true }).catch(() => [])) {
    if (!name.isDirectory()) continue;
    const folder = join(home, "images", name.name);
    for (const layer of await readdir(folder)) {
      const path = join(folder, layer);
      if (!/^[0-9a-f]{16}$/.test(basename(path)) || used.has(path)) continue;
      await rm(path, { recursive: true, force: true });
      removed.push(path);
    }
  }
  return removed;
}

async function allThere(folders: readonly string[]): Promise<boolean> {
  const found = await Promise.all(
    folders.map((folder) =>
      stat(folder).then(
        (entry) => entry.isDirectory(),
        () => false,
      ),
    ),
  );
  return found.every(Boolean);
}
