import { readdir, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Engine } from "../engine.ts";
import { statusOf } from "../engine.ts";
import { unpin } from "./engine-layers.ts";
import { leasedImages } from "./leases.ts";
import { type ImageRecord, listRecords, usedAt, withdrawRecord } from "./records.ts";

export interface CollectOptions {
  readonly home: string;
  /** For images that it built; null leaves those alone. */
  readonly engine: Engine | null;
  /** Names of images that unfinished episodes stand on. */
  readonly pinned: ReadonlySet<string>;
  /** Nothing is removed below it. */
  readonly highBytes: number;
  /** What is removed ends here. */
  readonly lowBytes: number;
}

export interface Collected {
  readonly removed: readonly string[];
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

/**
 * Above the high watermark removes images, the least recently used first, until the low one is reached; never one that a
 * living process or an unfinished episode uses, nor one that others stand on. Layers that no image uses go in any case. Not
 * to run beside a build of the same home.
 */
export async function collectImages(options: CollectOptions): Promise<Collected> {
  const { home, highBytes, lowBytes } = options;
  await removeUnusedLayers(home);
  const bytesBefore = imageBytes(await listRecords(home));
  const removed: string[] = [];
  let bytesAfter = bytesBefore;
  for (;;) {
    const records = await listRecords(home);
    bytesAfter = imageBytes(records);
    if (bytesBefore <= highBytes || bytesAfter <= lowBytes) break;
    const next = await leastRecentlyUsed(options, records);
    if (next === null) break;
    if (await removeImage(options, next)) removed.push(next.name);
  }
  await removeUnusedLayers(home);
  return { removed, bytesBefore, bytesAfter };
}

/** Of all layers, each counted once. */
export function imageBytes(records: readonly ImageRecord[]): number {
  const layers = new Map(records.flatMap((record) => record.layers).map(({ path, bytes }) => [path, bytes]));
  return [...layers.values()].reduce((sum, bytes) => sum + bytes, 0);
}

async function leastRecentlyUsed(
  options: CollectOptions,
  records: readonly ImageRecord[],
): Promise<ImageRecord | null> {
  const { home, engine, pinned } = options;
  const { names } = await leasedImages(home);
  const free = records.filter(
    (record) =>
      !pinned.has(record.name) &&
      !names.has(record.name) &&
      (record.source === "packages" || engine !== null) &&
      !records.some(
        (other) => other !== record && other.layers.slice(1).some(({ path }) => path === record.layers[0]?.path),
      ),
  );
  const dated = await Promise.all(free.map(async (record) => ({ record, at: await usedAt(home, record) })));
  return dated.sort((a, b) => a.at - b.at)[0]?.record ?? null;
}

/** False: somebody took it meanwhile. */
async function removeImage({ home, engine }: CollectOptions, record: ImageRecord): Promise<boolean> {
  const withdrawn = await withdrawRecord(home, record.name);
  if ((await leasedImages(home)).names.has(record.name)) {
    await withdrawn.putBack();
    return false;
  }
  if (record.source === "engine" && engine !== null) {
    if (record.pin !== null) await unpin(engine, record.pin);
    await engine
      .call("remove an image", (docker) => docker.getImage(record.digest).remove({ force: true }))
      .catch((error: unknown) => {
        // Gone already, or under a container of somebody else: the engine's to keep.
        if (statusOf(error) !== 404 && statusOf(error) !== 409) throw error;
      });
  }
  await withdrawn.forget();
  return true;
}

/** Layers below `<home>/images` that neither an image nor a living process uses. */
async function removeUnusedLayers(home: string): Promise<void> {
  const records = await listRecords(home);
  const { layers: leased } = await leasedImages(home);
  const used = new Set(
    [...records.flatMap(({ layers }) => layers.map(({ path }) => path)), ...leased].map((path) => dirname(path)),
  );
  for (const image of await readdir(join(home, "images"), { withFileTypes: true }).catch(() => [])) {
    if (!image.isDirectory()) continue;
    const folder = join(home, "images", image.name);
    for (const layer of await readdir(folder)) {
      const path = join(folder, layer);
      if (/^[0-9a-f]{16}$/.test(basename(path)) && !used.has(path)) await rm(path, { recursive: true, force: true });
    }
  }
}
