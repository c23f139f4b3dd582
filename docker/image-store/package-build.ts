import { execFile } from "node:child_process";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { canonicalJson, type Digest, sha256 } from "../../core/ids.ts";
import { debianRoot, requirePackageBuilds, there } from "./bootstrap.ts";
import type { ImageSource } from "./definitions.ts";
import { type ImageRecord, imageFolder } from "./records.ts";
import { type BuildContext, runLogged, SYSTEM_PATH, unshared } from "./run-logged.ts";

const run = promisify(execFile);

export interface LayerPlan {
  readonly source: ImageSource;
  readonly definition: Digest;
  /** The image below it; null for the lowest. */
  readonly below: ImageRecord | null;
}

/**
 * Builds an image without an engine, from the packages that its Dockerfile names: one layer over the image below it, or over
 * a root file system by debootstrap. Layers are shared. Needs root and a mirror of the machine's own sources.
 */
export async function buildFromPackages(context: BuildContext, plan: LayerPlan): Promise<ImageRecord> {
  requirePackageBuilds();
  const { source, definition } = plan;
  const below = plan.below?.layers ?? (await rootLayers(context, source.release));
  const folder = imageFolder(context.home, source.name);
  await removeParts(folder);
  const part = join(folder, `part-${process.pid}`);
  await mkdir(part, { recursive: true });
  try {
    context.onLog(`installing ${source.packages.length} packages for image ${source.name}`);
    const folders = ["rootfs", "merged", "work"].map((name) => join(part, name));
    const lowers = below.map(({ path }) => path).join(":");
    const flags = unshared(join(import.meta.dirname, "install.sh"), [lowers, ...folders, ...source.packages]);
    const packages = await runLogged(context, "setpriv", flags);
    const digest = sha256(canonicalJson([definition, packages.trim().split("\n").sort()]));
    const target = join(folder, digest.slice(7, 23));
    for (const name of ["merged", "work"]) await rm(join(part, name), { recursive: true, force: true });
    if (!(await there(target))) await rename(part, target);
    const own = { path: join(target, "rootfs"), bytes: await folderBytes(join(target, "rootfs")) };
    const made = { name: source.name, digest, definition, createdAt: Date.now(), source: "packages" } as const;
    return { ...made, layers: [own, ...below], path: SYSTEM_PATH, workdir: null, runtimes: {}, pin: null };
  } finally {
    await rm(part, { recursive: true, force: true });
  }
}

async function rootLayers(context: BuildContext, release: string): Promise<ImageRecord["layers"]> {
  const root = await debianRoot(context, release);
  return [{ path: root, bytes: await folderBytes(root) }];
}

/** What builds that were killed left. One image is built by one process at a time. */
async function removeParts(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => []))
    if (name.startsWith("part-")) await rm(join(folder, name), { recursive: true, force: true });
}

/** Of the files in it on this file system. */
export async function folderBytes(folder: string): Promise<number> {
  const { stdout } = await run("du", ["-sx", "--block-size=1", folder], { env: { PATH: SYSTEM_PATH } });
  return Number.parseInt(stdout, 10);
}
