import { readdir, readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { GymError } from "../../core/errors.ts";
import { canonicalJson, type Digest, sha256 } from "../../core/ids.ts";
import type { ImageInfo } from "../../core/sandbox.ts";
import type { FileTree } from "../../core/task.ts";
import { findRuntimes } from "../container/runtimes.ts";
import { type WorkdirRequest, workdirImage } from "../container/workdir-image.ts";
import type { Engine } from "../engine.ts";
import { buildLight } from "../light/build.ts";
import { LightProvider } from "../light/provider.ts";
import { silentLog } from "../log.ts";
import { definitionOfChain, type ImageSource, imageChain, imageSources } from "./definitions.ts";
import { watchDisk } from "./disk-watch.ts";
import { buildOne, type EngineBuild, lowestBase, MOST_BYTES } from "./engine-build.ts";
import { pinEngineImage, unpin } from "./engine-layers.ts";
import { buildFromPackages } from "./package-build.ts";
import { definitionOf, type ImageRecord, listRecords, saveRecord, wholeRecord } from "./records.ts";
import type { BuildContext } from "./run-logged.ts";

/** A task's own Dockerfile: enough for a compiler, too little to starve the machine. */
const TASK_LIMITS = { memoryBytes: 4 * 1024 ** 3, timeoutMs: 20 * 60_000 };

export interface BuildImageOptions extends BuildContext {
  /** Null: without an engine. */
  readonly engine: Engine | null;
  /** True: also when its definition has not changed, for newer packages. */
  readonly rebuild?: boolean;
  /** True: the image is for the docker tier alone, so its layers need not be mountable here. */
  readonly engineOnly?: boolean;
}

/**
 * Builds one of our own images and those below it, looks for its tools and records it for the light tier (and, with an
 * engine, for the docker tier as polygym/<name>). What is still as defined is kept.
 */
export async function buildImage(options: BuildImageOptions): Promise<ImageRecord> {
  const { engine, home, rebuild = false } = options;
  const chain = await imageChain(options.name);
  let record: ImageRecord | null = null;
  for (const [i, source] of chain.entries()) {
    const definition = definitionOfChain(chain.slice(0, i + 1));
    const known = await wholeRecord(home, source.name);
    const isKept = known?.definition === definition && known.source === (engine ? "engine" : "packages");
    if (isKept && !(rebuild && i === chain.length - 1)) {
      options.onLog(`image ${source.name} is as defined`);
      record = known;
      continue;
    }
    const plan: { source: ImageSource; definition: Digest; below: ImageRecord | null } = {
      source,
      definition,
      below: record,
    };
    const made: ImageRecord = engine ? await withEngine(engine, options, plan) : await buildFromPackages(options, plan);
    record = await accept(options, made, known);
  }
  if (!record) throw new RangeError("an image's chain is empty");
  return record;
}

/** A task's own image. */
export interface DockerfileBuild extends Omit<BuildImageOptions, "engine"> {
  readonly engine: Engine;
  /** The Dockerfile and what lies beside it. */
  readonly files: FileTree;
  readonly definition: Digest;
  /** What the task says of the working folder; null: the image's WORKDIR counts. */
  readonly workdir: string | null;
}

/** Builds an image from somebody else's Dockerfile, bounded, on the engine's own network. */
export async function buildDockerfile(options: DockerfileBuild): Promise<ImageRecord> {
  const { engine, home, name, files, definition, workdir } = options;
  const known = await wholeRecord(home, name);
  if (known?.definition === definition && !options.rebuild) return known;
  for (const own of await ownBases(Buffer.from(files.get("Dockerfile")?.data ?? []).toString()))
    await buildImage({ ...options, name: own, rebuild: false });
  const build = { files, limits: TASK_LIMITS, fresh: options.rebuild ?? false };
  return await accept(options, await builtAndPinned(engine, options, { build, name, definition, workdir }), known);
}

/** Records an image that the engine has, for the light tier. */
export async function adoptImage(
  engine: Engine,
  home: string,
  image: { reference: string; name: string },
): Promise<ImageRecord> {
  const context = { home, name: image.name, onLog: () => undefined };
  const known = await wholeRecord(home, image.name);
  return await accept(
    { ...context, engine },
    await pinned(engine, context, { ...image, definition: null, workdir: null }),
    known,
  );
}

/** Names of ours that a Dockerfile stands on. */
async function ownBases(dockerfile: string): Promise<string[]> {
  const bases = dockerfile.matchAll(/^\s*FROM\s+(?:--\S+\s+)*polygym\/([a-z][a-z0-9-]*)/gim);
  const named = new Set([...bases].map((match) => match[1]));
  return (await imageSources()).map(({ name }) => name).filter((name) => named.has(name));
}

async function withEngine(
  engine: Engine,
  options: BuildImageOptions,
  { source, definition }: { source: ImageSource; definition: Digest },
): Promise<ImageRecord> {
  const base = source.from === null ? await lowestBase(engine, options, source) : `polygym/${source.from}`;
  const fresh = (options.rebuild ?? false) && source.name === options.name;
  const build = { files: await folderFiles(source.folder), base, network: "host", fresh } as const;
  return await builtAndPinned(engine, options, { build, name: source.name, definition, workdir: null });
}

interface Wanted {
  readonly build: Omit<EngineBuild, "tag">;
  readonly name: string;
  readonly definition: Digest | null;
  readonly workdir: string | null;
}

/** Built under another name, so that `polygym/<name>` is never anything but a finished image, and bounded until it is one. */
async function builtAndPinned(
  engine: Engine,
  options: BuildContext & Pick<BuildImageOptions, "engineOnly">,
  { build, ...image }: Wanted,
): Promise<ImageRecord> {
  const owner = sha256(canonicalJson([hostname(), options.home])).slice(7, 15);
  const tag = `polygym/unfinished:${image.name}-${owner}`;
  await using disk = await watchDisk(engine, { name: image.name, mostBytes: MOST_BYTES });
  const signal = AbortSignal.any([disk.full, ...(options.signal ? [options.signal] : [])]);
  try {
    const reference = await buildOne(engine, { ...build, tag }, { ...options, signal });
    return await pinned(engine, options, { ...image, reference, signal });
  } finally {
    await engine.call("remove a name", (docker) => docker.getImage(tag).remove()).catch(() => undefined); // the next build has it
  }
}

/** With its working folder in the place of the workspace: `polygym/<name>` is then the image that was made so. */
async function pinned(
  engine: Engine,
  options: Pick<BuildImageOptions, "home" | "engineOnly">,
  image: WorkdirRequest & { definition: Digest | null },
): Promise<ImageRecord> {
  const repo = `polygym/${image.name}`;
  const { id, workdir } = await workdirImage(engine, { ...image, keepAs: repo });
  await engine.call("name an image", (docker) => docker.getImage(id).tag({ repo }));
  const known = new Map(
    (await listRecords(options.home)).flatMap(({ layers }) => layers).map(({ path, bytes }) => [path, bytes]),
  );
  return await pinEngineImage(engine, {
    ...image,
    reference: id,
    workdir,
    known,
    engineOnly: options.engineOnly ?? false,
  });
}

/** Records what was made, once a sandbox opens over it, and lets go of what it replaces. */
async function accept(options: BuildImageOptions, made: ImageRecord, before: ImageRecord | null): Promise<ImageRecord> {
  const { home, engine } = options;
  const record = made.layers.length === 0 ? made : { ...made, runtimes: await probe(home, made) };
  await saveRecord(home, record);
  if (engine && before?.pin && before.pin !== record.pin) await unpin(engine, before.pin);
  return record;
}

/** An image in which no sandbox opens is no image. */
async function probe(home: string, record: ImageRecord): Promise<ImageInfo["runtimes"]> {
  const images = [await definitionOf(home, record)];
  await using provider = new LightProvider({ binary: await buildLight(home), images, log: silentLog });
  try {
    await using sandbox = await provider.open({ image: record.name, owner: "image-build" });
    return await findRuntimes(sandbox, record.workdir);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new GymError("image_failed", `image ${record.name} was built, but no sandbox opens over it: ${why}`, {
      cause: error,
    });
  }
}

async function folderFiles(folder: string): Promise<FileTree> {
  const files = new Map<string, { data: Uint8Array; mode: number }>();
  for (const name of (await readdir(folder)).sort())
    files.set(name, { data: await readFile(join(folder, name)), mode: 0o644 });
  return files;
}
