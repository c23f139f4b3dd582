import { join } from "node:path";
import type Docker from "dockerode";
import * as z from "zod";
import { GymError } from "../../core/errors.ts";
import { Digest } from "../../core/ids.ts";
import type { ImageInfo } from "../../core/sandbox.ts";
import { otherName } from "../../core/workdir.ts";
import { type Engine, statusOf } from "../engine.ts";
import type { ArchiveFile } from "./archive-file.ts";
import { ArchiveWriter } from "./archive-file.ts";
import { writableRoots } from "./container-options.ts";
import type { ContainerImage } from "./image.ts";
import { appendTar, smallFile } from "./image-seed.ts";
import { workdirImage } from "./workdir-image.ts";

/** A working folder, volume or image name with anything else in it is somebody's attempt at something. */
const plainPath = /^\/[\w./-]{1,200}$/;
const imageName = /^[a-z0-9][\w.:/@-]{0,254}$/i;
const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** Of what an image holds in folders that can be written, e.g. a checkout in /workspace. */
const MOST_SEED = 1024 * 1024 * 1024;
/** For that much, from a slow disk; an engine that stops in the middle holds nobody up for longer. */
const READ_MS = 10 * 60_000;

const Inspected = z.object({
  Id: Digest,
  Config: z.object({
    Env: z.array(z.string()).nullish(),
    WorkingDir: z.string().nullish(),
    Volumes: z.record(z.string(), z.unknown()).nullish(),
  }),
});

/** Where {@link engineImage} keeps what it copies out of an image. */
export interface EngineImageOptions {
  readonly engine: Engine;
  readonly name: string;
  /** Folder that is to be another name of the workspace; null: as the image is. */
  readonly workdir: string | null;
  readonly folder: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** An image that the engine has: `polygym/<name>`, or exactly that name. Nothing is ever pulled. */
export async function engineImage(options: EngineImageOptions): Promise<ContainerImage> {
  const { engine, name, workdir } = options;
  let found = Inspected.parse(await inspect(engine, name));
  if (workdir !== null) {
    const { id } = await workdirImage(engine, { reference: found.Id, name, workdir });
    found = Inspected.parse(await inspect(engine, id));
  }
  const volumes = Object.keys(found.Config.Volumes ?? {}).map((path) => path.replace(/\/+$/, ""));
  const wrong = volumes.find(
    (path) => !plainPath.test(path) || /^\/(proc|sys|dev|etc|usr)(\/|$)/.test(path) || path.includes(".."),
  );
  if (wrong !== undefined) throw new GymError("sandbox_unavailable", `image ${name} declares a volume at ${wrong}`);
  const env = Object.fromEntries((found.Config.Env ?? []).map(splitEntry));
  const copied = await copyOut(options, found.Id, volumes);
  const own = otherName(found.Config.WorkingDir);
  const info: ImageInfo = { image: name, digest: found.Id, workdir: own, runtimes: {} };
  return { info, reference: found.Id, env: { PATH: DEFAULT_PATH, ...env }, host: null, hidden: [], volumes, ...copied };
}

function splitEntry(entry: string): [string, string] {
  const at = entry.indexOf("=");
  return at < 0 ? [entry, ""] : [entry.slice(0, at), entry.slice(at + 1)];
}

async function inspect(engine: Engine, name: string): Promise<unknown> {
  if (!imageName.test(name)) throw new GymError("sandbox_unavailable", `${name} is not an image's name`);
  for (const candidate of [`polygym/${name}`, name]) {
    try {
      return await engine.call(`look for image ${candidate}`, (docker) => docker.getImage(candidate).inspect());
    } catch (error) {
      if (statusOf(error) !== 404 && statusOf(error) !== 400) throw error;
    }
  }
  throw new GymError("sandbox_unavailable", `the engine has no image ${name}: build or pull it first`);
}

/** A container that is made but never started shows the image's files as archives. */
async function copyOut(
  options: EngineImageOptions,
  id: string,
  volumes: readonly string[],
): Promise<Pick<ContainerImage, "seed" | "accounts">> {
  const { engine, labels } = options;
  const container = await engine.call("read an image", (docker) =>
    docker.createContainer({
      Image: id,
      Entrypoint: ["/polygym"],
      Cmd: [],
      Labels: { ...labels },
      NetworkDisabled: true,
    }),
  );
  try {
    const passwd = await readSmall(engine, container, "/etc/passwd");
    const group = await readSmall(engine, container, "/etc/group");
    const accounts = passwd === null ? null : { passwd, group: group ?? "" };
    return { accounts, seed: await copySeed(options, container, { id, roots: writableRoots(volumes) }) };
  } finally {
    await engine.call("remove a container", () => container.remove({ force: true, v: true })).catch(() => undefined); // reap finds it
  }
}

async function copySeed(
  options: EngineImageOptions,
  container: Docker.Container,
  source: { readonly id: string; readonly roots: readonly string[] },
): Promise<ArchiveFile | null> {
  const path = join(options.folder, `seed-${source.id.slice(7, 23)}-${process.hrtime.bigint()}`);
  const writer = new ArchiveWriter(path, MOST_SEED);
  try {
    for (const root of source.roots) {
      await readFrom(options.engine, { container, path: root }, (stream) => appendTar(stream, root, writer));
    }
  } catch (error) {
    await writer.abandon();
    throw error;
  }
  return writer.finish();
}

interface Place {
  readonly container: Docker.Container;
  readonly path: string;
}

/** Null when nothing is there. */
async function readFrom<T>(
  engine: Engine,
  { container, path }: Place,
  read: (stream: NodeJS.ReadableStream) => Promise<T>,
): Promise<T | null> {
  const take = async (signal: AbortSignal): Promise<T> =>
    read(await container.getArchive({ path, abortSignal: signal }));
  try {
    return await engine.call(`read ${path} of an image`, (_docker, signal) => take(signal), READ_MS);
  } catch (error) {
    if (statusOf(error) === 404) return null;
    throw error;
  }
}

async function readSmall(engine: Engine, container: Docker.Container, path: string): Promise<string | null> {
  return await readFrom(engine, { container, path }, smallFile);
}
