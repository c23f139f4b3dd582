import { join } from "node:path";
import { GymError } from "../../core/errors.ts";
import type { Digest } from "../../core/ids.ts";
import { type Engine, statusOf } from "../engine.ts";
import { type ArchiveFile, ArchiveWriter } from "./archive-file.ts";
import { writableRoots } from "./container-options.ts";
import type { ContainerImage } from "./image.ts";
import { ImageFiles } from "./image-files.ts";
import { appendTar, smallFile } from "./image-seed.ts";
import { ownWorkdir, workdirImage } from "./workdir-image.ts";
import { WorkdirSource } from "./workdir-plan.ts";

/** A working folder, volume or image name with anything else in it is somebody's attempt at something. */
const plainPath = /^\/[\w./-]{1,200}$/;
const imageName = /^[a-z0-9][\w.:/@-]{0,254}$/i;
const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** Of what an image holds in folders that can be written, e.g. a checkout in /workspace. */
const MOST_SEED = 1024 * 1024 * 1024;

/** Id of an image that the engine has: `polygym/<name>`, or exactly that name. Nothing is ever pulled. */
export async function findEngineImage(engine: Engine, name: string, workdir: string | null): Promise<Digest> {
  const reference = await idOf(engine, name);
  return workdir === null ? reference : (await workdirImage(engine, { reference, name, workdir })).id;
}

async function idOf(engine: Engine, name: string): Promise<Digest> {
  if (!imageName.test(name)) throw new GymError("sandbox_unavailable", `${name} is not an image's name`);
  for (const candidate of [`polygym/${name}`, name]) {
    try {
      return WorkdirSource.parse(await inspect(engine, candidate)).Id;
    } catch (error) {
      if (statusOf(error) !== 404 && statusOf(error) !== 400) throw error;
    }
  }
  throw new GymError("sandbox_unavailable", `the engine has no image ${name}: build or pull it first`);
}

/** Where {@link engineImage} keeps what it copies out of an image. */
export interface EngineImageOptions {
  readonly engine: Engine;
  readonly id: Digest;
  readonly name: string;
  readonly folder: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Reads an image that the engine has. */
export async function engineImage({ engine, id, name, folder, labels }: EngineImageOptions): Promise<ContainerImage> {
  const found = WorkdirSource.parse(await inspect(engine, id));
  const volumes = Object.keys(found.Config.Volumes ?? {}).map((path) => path.replace(/\/+$/, ""));
  const wrong = volumes.find(
    (path) => !plainPath.test(path) || /^\/(proc|sys|dev|etc|usr)(\/|$)/.test(path) || path.includes(".."),
  );
  if (wrong !== undefined) throw new GymError("sandbox_unavailable", `image ${name} declares a volume at ${wrong}`);
  const env = { PATH: DEFAULT_PATH, ...Object.fromEntries((found.Config.Env ?? []).map(splitEntry)) };
  await using files = await ImageFiles.open(engine, { image: id, labels });
  const passwd = await files.read("/etc/passwd", smallFile);
  const group = await files.read("/etc/group", smallFile);
  const workdir = await ownWorkdir(files, found, name);
  const seed = await copySeed(
    files,
    writableRoots(volumes),
    join(folder, `seed-${id.slice(7, 23)}-${process.hrtime.bigint()}`),
  );
  return {
    info: { image: name, digest: id, workdir, runtimes: {} },
    ...{ reference: id, env, host: null, hidden: [], volumes, seed },
    accounts: passwd === null ? null : { passwd, group: group ?? "" },
  };
}

function splitEntry(entry: string): [string, string] {
  const at = entry.indexOf("=");
  return at < 0 ? [entry, ""] : [entry.slice(0, at), entry.slice(at + 1)];
}

async function inspect(engine: Engine, name: string): Promise<unknown> {
  return await engine.call(`look for image ${name}`, (docker) => docker.getImage(name).inspect());
}

async function copySeed(files: ImageFiles, roots: readonly string[], path: string): Promise<ArchiveFile> {
  const writer = new ArchiveWriter(path, MOST_SEED);
  try {
    for (const root of roots) await files.read(root, (stream) => appendTar(stream, root, writer));
  } catch (error) {
    await writer.abandon();
    throw error;
  }
  return writer.finish();
}
