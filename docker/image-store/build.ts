import { GymError } from "../../core/errors.ts";
import type { ImageInfo } from "../../core/sandbox.ts";
import { findRuntimes } from "../container/runtimes.ts";
import type { Engine } from "../engine.ts";
import { buildLight } from "../light/build.ts";
import { LightProvider } from "../light/provider.ts";
import { silentLog } from "../log.ts";
import { buildWithEngine } from "./engine-build.ts";
import { pinEngineImage, unpin } from "./engine-layers.ts";
import { buildFromPackages, type PackageBuildOptions } from "./package-build.ts";
import { definitionOf, type ImageRecord, listRecords, readRecord, removeUnused, saveRecord } from "./records.ts";

export interface BuildImageOptions extends PackageBuildOptions {
  /** Null: without an engine. */
  readonly engine: Engine | null;
}

/**
 * Builds one of our own images, looks for its tools and records it for the light tier (and, with an engine, for the docker
 * tier as polygym/<name>). Workers that are open already see it after their next start.
 */
export async function buildImage(options: BuildImageOptions): Promise<ImageRecord> {
  const { engine, home, name } = options;
  const before = await readRecord(home, name);
  if (!engine) return await withRuntimes(home, await buildFromPackages(options));
  const id = await buildWithEngine(engine, options);
  const record = await withRuntimes(home, await pinEngineImage(engine, id, name));
  if (before?.pin && before.pin !== record.pin) await unpin(engine, before.pin);
  return record;
}

/** Records an image that the engine has, for the light tier. */
export async function adoptImage(
  engine: Engine,
  home: string,
  image: { reference: string; name: string },
): Promise<ImageRecord> {
  return await withRuntimes(home, await pinEngineImage(engine, image.reference, image.name));
}

/** What is built and whole. */
export async function listImages(home: string): Promise<ImageRecord[]> {
  return await listRecords(home);
}

/** Removes layers that no image uses. Answers the freed folders. A worker that opened before an image was built anew may still use the old ones: stop it first. */
export async function collectImages(home: string): Promise<string[]> {
  return await removeUnused(home);
}

async function withRuntimes(home: string, record: ImageRecord): Promise<ImageRecord> {
  const found = { ...record, runtimes: await probe(home, record) };
  await saveRecord(home, found);
  return found;
}

/** An image in which no sandbox opens is no image. */
async function probe(home: string, record: ImageRecord): Promise<ImageInfo["runtimes"]> {
  const images = [await definitionOf(home, record)];
  await using provider = new LightProvider({ binary: await buildLight(home), images, log: silentLog });
  try {
    await using sandbox = await provider.open({ image: record.name, owner: "image-build" });
    return await findRuntimes(sandbox);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new GymError("sandbox_unavailable", `image ${record.name} was built, but no sandbox opens over it: ${why}`, {
      cause: error,
    });
  }
}
