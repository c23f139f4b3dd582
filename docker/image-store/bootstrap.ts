import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { GymError } from "../../core/errors.ts";
import { sha256 } from "../../core/ids.ts";
import { type BuildContext, runLogged, SYSTEM_PATH, unshared } from "./run-logged.ts";

const run = promisify(execFile);
const DEBOOTSTRAP = "/usr/sbin/debootstrap";
const APT = "/usr/bin/apt-get";
/** Changes when the way of making it does. */
const METHOD = 2;

/** The distribution's smallest root file system, made once per release. Answers its folder. */
export async function debianRoot(context: BuildContext, release: string): Promise<string> {
  const target = join(context.home, "images", "debian", sha256(`${release}-${METHOD}`).slice(7, 23));
  const root = join(target, "rootfs");
  if (await there(root)) return root;
  requirePackageBuilds();
  await installDebootstrap(context);
  const part = `${target}.${process.pid}`;
  await mkdir(part, { recursive: true });
  try {
    const script = join(import.meta.dirname, "root.sh");
    const mirror = await packageMirror();
    context.onLog(`making a root file system of ${release} from ${mirror}`);
    await runLogged(context, "setpriv", unshared(script, [join(part, "rootfs"), part, release, mirror]));
    for (const name of ["empty", "work", "merged"]) await rm(join(part, name), { recursive: true, force: true });
    await rename(part, target);
  } finally {
    await rm(part, { recursive: true, force: true });
  }
  return root;
}

/** Why images cannot be built from packages on this machine, or null. */
export function packageBuildMisfit(): string | null {
  if (process.geteuid?.() !== 0) return "building an image without a container engine needs root";
  if (process.platform !== "linux") return "building an image without a container engine needs Linux";
  if (![DEBOOTSTRAP, APT].some((path) => existsSync(path)))
    return "building an image without a container engine needs debootstrap, or Debian or Ubuntu to install it on";
  return null;
}

export function requirePackageBuilds(): void {
  const misfit = packageBuildMisfit();
  if (misfit !== null) throw new GymError("image_failed", `${misfit}: run workers as root, or start an engine`);
}

async function installDebootstrap(context: BuildContext): Promise<void> {
  if (await there(DEBOOTSTRAP)) return;
  context.onLog("installing debootstrap");
  await runLogged(context, "apt-get", ["update", "-q"]);
  await runLogged(context, "apt-get", ["install", "-y", "-q", "--no-install-recommends", "debootstrap"]);
}

/** Where this machine gets its packages from. */
async function packageMirror(): Promise<string> {
  try {
    const asked = await run("apt-get", ["indextargets", "--format", "$(SITE)", "Created-By: Packages"], {
      env: { PATH: SYSTEM_PATH },
    });
    const site = asked.stdout.split("\n").find((line) => line.endsWith("/debian") || line.endsWith("/debian/"));
    if (site) return site;
  } catch {
    // not a machine with apt
  }
  throw new GymError("image_failed", "no mirror of Debian packages is known here: build the image with an engine");
}

export async function there(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
