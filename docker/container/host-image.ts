import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { type Pack, pack } from "tar-stream";
import { GymError } from "../../core/errors.ts";
import { type Engine, statusOf } from "../engine.ts";
import { hostImage } from "../image-host.ts";
import type { ImageDefinition, ImageMount } from "../light/image.ts";
import type { ContainerImage } from "./image.ts";

/**
 * Image `host` for containers: the synthesised root as an image of the engine, with the machine's system folders mounted
 * over it read-only. Covers: files that others may not read stay unreadable, because commands have an id of their own and
 * no capability. Does not cover: locks on the mounted files, which all containers share; engines on another machine.
 */
export async function hostContainerImage(engine: Engine, home: string): Promise<ContainerImage> {
  if (!engine.local) throw new GymError("sandbox_unavailable", "image host needs an engine on this machine");
  const image = await hostImage({ home });
  const tag = image.skeleton.slice(image.skeleton.lastIndexOf("/") + 1);
  const mounted = await Promise.all(image.mounts.map(mountFolder));
  return {
    info: image.info,
    reference: await importSkeleton(engine, image, tag),
    env: { PATH: image.path },
    binds: mounted.flatMap(({ binds }) => binds),
    hidden: mounted.flatMap(({ hidden }) => hidden),
    volumes: [],
    seed: null,
    accounts: {
      passwd: await readFile(join(image.skeleton, "etc/passwd"), "utf8"),
      group: await readFile(join(image.skeleton, "etc/group"), "utf8"),
    },
  };
}

/** Toolchains of the root are mounted as the folders /opt/<name>, other mounts as they are. */
async function mountFolder(mount: ImageMount): Promise<{ binds: string[]; hidden: string[] }> {
  const hidden: string[] = [];
  for (const mask of mount.masks) {
    const path = join(mount.target, mask);
    const stat = await lstat(path).catch(() => null);
    if (stat?.isDirectory() && (stat.mode & 0o005) === 0o005) hidden.push(path);
  }
  if (mount.target !== "") return { binds: mount.lowers.map((lower) => `${lower}:${mount.target}:ro`), hidden };
  const binds: string[] = [];
  for (const lower of mount.lowers)
    for (const name of await readdir(join(lower, "opt"))) binds.push(`${join(lower, "opt", name)}:/opt/${name}:ro`);
  return { binds, hidden };
}

async function importSkeleton(engine: Engine, image: ImageDefinition, tag: string): Promise<string> {
  const name = `polygym/skeleton:${tag}`;
  const known = await engine
    .call("look for the host image", (docker) => docker.getImage(name).inspect())
    .catch(missing);
  if (known) return known.Id;
  const archive = pack();
  const packing = packFolder(archive, image.skeleton, "").then(() => archive.finalize());
  await engine.call("import the host image", async (docker) => {
    const [stream] = await Promise.all([
      docker.importImage(Readable.from(archive), { repo: "polygym/skeleton", tag }),
      packing,
    ]);
    await text(stream);
  });
  return (await engine.call("look for the host image", (docker) => docker.getImage(name).inspect())).Id;
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
