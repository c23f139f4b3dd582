import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { Digest } from "../../core/ids.ts";
import type { ImageDefinition } from "../light/image.ts";
import { imageSkeleton } from "./skeleton.ts";

export const ImageName = z.string().regex(/^[a-z][a-z0-9-]{0,30}$/);

/** What is known about an image that was built, in `<home>/images/<name>/current.json`. */
export const ImageRecord = z.object({
  name: ImageName,
  /** Of its content: the packages and versions in it, or the engine's id. */
  digest: Digest,
  /** Of what it was made from; null when somebody else made it. */
  definition: Digest.nullable(),
  createdAt: z.int(),
  source: z.enum(["packages", "engine"]),
  /** Its layers, topmost first; none when only the engine can open it. */
  layers: z.array(z.object({ path: z.string().startsWith("/"), bytes: z.int() })),
  path: z.string(),
  /** Another name of the workspace in it, a link. */
  workdir: z.string().nullable().default(null),
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
  await touch(home, record.name);
}

/** Null when there is none, or one of another version. */
export async function readRecord(home: string, name: string): Promise<ImageRecord | null> {
  const text = await readFile(join(imageFolder(home, name), "current.json"), "utf8").catch(() => null);
  if (text === null) return null;
  try {
    return ImageRecord.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

/** The record, if its layers are still there. */
export async function wholeRecord(home: string, name: string): Promise<ImageRecord | null> {
  if (!ImageName.safeParse(name).success) return null;
  const record = await readRecord(home, name);
  return record !== null && (await allThere(record.layers.map(({ path }) => path))) ? record : null;
}

/** Every image that was built and whose layers are still there. */
export async function listRecords(home: string): Promise<ImageRecord[]> {
  const names = await readdir(join(home, "images")).catch(() => []);
  const records = await Promise.all(names.map((name) => wholeRecord(home, name)));
  return records.filter((record) => record !== null).sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Takes the image out of the list, its layers stay. `putBack` undoes it. */
export async function withdrawRecord(
  home: string,
  name: string,
): Promise<{ putBack(): Promise<void>; forget(): Promise<void> }> {
  const file = join(imageFolder(home, name), "current.json");
  const aside = `${file}.withdrawn`;
  await rename(file, aside);
  return { putBack: () => rename(aside, file), forget: () => rm(aside, { force: true }) };
}

/** Says that the image was used now. */
export async function touch(home: string, name: string): Promise<void> {
  const file = join(imageFolder(home, name), "used");
  const now = new Date();
  await utimes(file, now, now).catch(() => writeFile(file, ""));
}

/** When it was last used, epoch ms. */
export async function usedAt(home: string, record: ImageRecord): Promise<number> {
  return await stat(join(imageFolder(home, record.name), "used")).then(
    (found) => found.mtimeMs,
    () => record.createdAt,
  );
}

export async function definitionOf(home: string, record: ImageRecord): Promise<ImageDefinition> {
  return {
    info: { image: record.name, digest: record.digest, workdir: record.workdir, runtimes: record.runtimes },
    skeleton: await imageSkeleton(home),
    mounts: [{ target: "", lowers: record.layers.map(({ path }) => path), masks: [] }],
    path: record.path,
  };
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
