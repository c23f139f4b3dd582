import { lstat, mkdir, readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { type Pack, pack } from "tar-stream";
import { GymError } from "../../core/errors.ts";
import { canonicalJson, type Digest, sha256 } from "../../core/ids.ts";
import { isWithin } from "../../core/workdir.ts";
import { type Engine, statusOf } from "../engine.ts";
import { hostImage } from "../image-host.ts";
import type { ImageDefinition, ImageMount } from "../light/image.ts";
import { type HostFolder, probeFolderMounts } from "./folder-mounts.ts";
import type { ContainerImage } from "./image.ts";
import { importImage } from "./import-image.ts";
import { workdirImage } from "./workdir-image.ts";

/** A file that every Linux has below /usr. */
const EVERYWHERE = "/usr/bin/env";

export interface HostImagePlace {
  readonly engine: Engine;
  /** POLYGYM_HOME. */
  readonly home: string;
  /** Own folder of the provider. */
  readonly folder: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Folder that is to be another name of the workspace; null: none. */
  readonly workdir: string | null;
}

/**
 * Image `host` for containers: the synthesised root as an image of the engine, with the machine's system folders mounted
 * over it read-only. Covers: files that others may not read stay unreadable, because commands have an id of their own and
 * no capability; where the engine can, each container has overlays of its own, so that locks on files end at it.
 */
export async function hostContainerImage(options: HostImagePlace): Promise<ContainerImage> {
  const { engine, home, folder, labels, workdir } = options;
  const image = await hostImage({ home });
  const tag = image.skeleton.slice(image.skeleton.lastIndexOf("/") + 1);
  const skeleton = await importSkeleton(engine, image, tag);
  const folders = (await Promise.all(image.mounts.map(hostFolders))).flat();
  const covered = folders.find(
    ({ target }) => workdir !== null && (isWithin(target, workdir) || isWithin(workdir, target)),
  );
  if (covered !== undefined)
    throw new GymError(
      "image_failed",
      `image host: ${workdir} cannot be the workspace: ${covered.target} is the machine's own; use another folder, such as /app`,
    );
  const reference =
    workdir === null ? skeleton : (await workdirImage(engine, { reference: skeleton, name: "host", workdir })).id;
  const empty = join(folder, "empty");
  await mkdir(empty, { recursive: true, mode: 0o755 });
  const mounts = await probeFolderMounts(engine, {
    image: reference,
    labels,
    host: { folders, empty },
    file: EVERYWHERE,
  });
  return {
    info: workdir === null ? image.info : { ...image.info, workdir, digest: namedDigest(image.info.digest, workdir) },
    reference,
    env: { PATH: image.path },
    host: { mounts, folders, empty },
    hidden: (await Promise.all(image.mounts.map(hiddenFolders))).flat(),
    volumes: [],
    seed: null,
    accounts: {
      passwd: await readFile(join(image.skeleton, "etc/passwd"), "utf8"),
      group: await readFile(join(image.skeleton, "etc/group"), "utf8"),
    },
  };
}

/** The image with a working folder is another one. */
const namedDigest = (digest: Digest, workdir: string): Digest => sha256(canonicalJson([digest, workdir]));

/** What others may look into but must not see; what they may not read anyway needs no mount. */
async function hiddenFolders({ target, masks }: ImageMount): Promise<string[]> {
  const hidden: string[] = [];
  for (const mask of masks) {
    const path = join(target, mask);
    const stat = await lstat(path).catch(() => null);
    if (stat?.isDirectory() && (stat.mode & 0o005) === 0o005) hidden.push(path);
  }
  return hidden;
}

/** Toolchains of the root are mounted as the folders /opt/<name>, other mounts as they are. */
async function hostFolders({ target, lowers }: ImageMount): Promise<HostFolder[]> {
  if (target !== "") return lowers.map((source) => ({ source, target }));
  const found = lowers.map(async (lower) =>
    (await readdir(join(lower, "opt"))).map((name) => ({ source: join(lower, "opt", name), target: `/opt/${name}` })),
  );
  return (await Promise.all(found)).flat();
}

async function importSkeleton(engine: Engine, image: ImageDefinition, tag: string): Promise<string> {
  const name = `polygym/skeleton:${tag}`;
  const known = await engine
    .call("look for the host image", (docker) => docker.getImage(name).inspect())
    .catch(missing);
  if (known) return known.Id;
  const archive = pack();
  const packing = packFolder(archive, image.skeleton, "").then(() => archive.finalize());
  const [id] = await Promise.all([importImage(engine, archive, { repo: "polygym/skeleton", tag }), packing]);
  return id;
}

function missing(error: unknown): null {
  if (statusOf(error) === 404) return null;
  throw error;
}

/** Our own folder, made by buildSkeleton: small, and nobody else writes it. */
async function packFolder(archive: Pack, root: string, folder: string): Promise<void> {
  for (const name of await readdir(join(root, folder))) {
    const path = join(folder, name);
    const stat = await lstat(join(root, path));
    const mode = stat.mode & 0o7777;
    if (stat.isSymbolicLink())
      archive.entry({ name: path, type: "symlink", linkname: await readlink(join(root, path)) });
    else if (stat.isDirectory()) archive.entry({ name: `${path}/`, type: "directory", mode });
    else if (stat.isFile()) archive.entry({ name: path, mode }, await readFile(join(root, path)));
    if (stat.isDirectory()) await packFolder(archive, root, path);
  }
}
