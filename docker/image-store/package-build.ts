import { execFile, spawn } from "node:child_process";
import { mkdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { GymError } from "../../core/errors.ts";
import { canonicalJson, type Digest, sha256 } from "../../core/ids.ts";
import { type ImageSource, imageChain } from "./definitions.ts";
import { type ImageRecord, imageFolder, readRecord, saveRecord } from "./records.ts";

const run = promisify(execFile);
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const BUILD_MS = 30 * 60_000;
/** Changes when the way of building does. */
const METHOD = 1;

export interface PackageBuildOptions {
  readonly home: string;
  readonly name: string;
  readonly onLog: (line: string) => void;
  readonly signal?: AbortSignal;
}

/**
 * Builds an image without an engine, from the packages that its Dockerfile names: a root file system by debootstrap, then
 * one layer per image of the chain. Layers are shared. Needs root, debootstrap and a mirror of the machine's own sources.
 */
export async function buildFromPackages(options: PackageBuildOptions): Promise<ImageRecord> {
  if (process.geteuid?.() !== 0)
    throw new GymError("sandbox_unavailable", "building an image without an engine needs root");
  const chain = await imageChain(options.name);
  let below = await debianRoot(options, chain[0]?.release ?? "");
  let record: ImageRecord | null = null;
  for (const source of chain) {
    const known = await readRecord(options.home, source.name);
    const isTop = source.name === options.name;
    record = !isTop && known?.source === "packages" ? known : await buildLayer(options, source, below);
    below = record.lowers;
  }
  if (!record) throw new RangeError("an image's chain is empty");
  return record;
}

/** The distribution's smallest root, made once per release. */
export async function debianRoot(options: PackageBuildOptions, release: string): Promise<readonly string[]> {
  const target = join(options.home, "images", "debian", sha256(`${release}-${METHOD}`).slice(7, 23));
  const root = join(target, "rootfs");
  if (await there(root)) return [root];
  const part = `${target}.${process.pid}`;
  await mkdir(part, { recursive: true });
  try {
    const mirror = await packageMirror();
    await logged(options, "debootstrap", ["--variant=minbase", release, join(part, "rootfs"), mirror]);
    await run("sh", ["-c", 'rm -rf "$1"/var/cache/apt/archives/*.deb "$1"/var/log/*.log', "sh", join(part, "rootfs")], {
      env: { PATH },
    });
    await rename(part, target);
  } finally {
    await rm(part, { recursive: true, force: true });
  }
  return [root];
}

async function buildLayer(
  options: PackageBuildOptions,
  source: ImageSource,
  below: readonly string[],
): Promise<ImageRecord> {
  const folder = imageFolder(options.home, source.name);
  const part = join(folder, `part-${process.pid}`);
  await rm(part, { recursive: true, force: true });
  await mkdir(part, { recursive: true });
  try {
    const script = join(import.meta.dirname, "install.sh");
    const folders = ["rootfs", "merged", "work"].map((name) => join(part, name));
    const flags = [
      "--mount",
      "--pid",
      "--fork",
      "--kill-child",
      script,
      below.join(":"),
      ...folders,
      ...source.packages,
    ];
    const packages = await logged(options, "unshare", flags);
    const digest: Digest = sha256(canonicalJson([METHOD, source.name, packages.trim().split("\n").sort()]));
    const target = join(folder, digest.slice(7, 23));
    for (const name of ["merged", "work"]) await rm(join(part, name), { recursive: true, force: true });
    if (!(await there(target))) await rename(part, target);
    const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    const lowers = [join(target, "rootfs"), ...below];
    const made = { name: source.name, digest, createdAt: Date.now(), source: "packages", lowers, path } as const;
    const record: ImageRecord = { ...made, runtimes: {}, pin: null };
    await saveRecord(options.home, record);
    return record;
  } finally {
    await rm(part, { recursive: true, force: true });
  }
}

/** Where this machine gets its packages from. */
async function packageMirror(): Promise<string> {
  try {
    const asked = await run("apt-get", ["indextargets", "--format", "$(SITE)", "Created-By: Packages"], {
      env: { PATH },
    });
    const site = asked.stdout.split("\n").find((line) => line.endsWith("/debian") || line.endsWith("/debian/"));
    if (site) return site;
  } catch {
    // not a machine with apt
  }
  throw new GymError(
    "sandbox_unavailable",
    "no mirror of Debian packages is known here: build the image with an engine",
  );
}

/** Runs a program, tells its lines of error output, answers its output. */
async function logged(options: PackageBuildOptions, program: string, args: readonly string[]): Promise<string> {
  const limit = AbortSignal.timeout(BUILD_MS);
  const signal = options.signal ? AbortSignal.any([options.signal, limit]) : limit;
  const child = spawn(program, args, { env: { PATH }, stdio: ["ignore", "pipe", "pipe"], signal });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code));
  });
  let rest = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) options.onLog(line);
  });
  try {
    const [output, code] = await Promise.all([text(child.stdout), ended]);
    if (code !== 0)
      throw new Error(`${program} ended with ${code}: ${rest}${program === "debootstrap" ? output.slice(-500) : ""}`);
    return output;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new GymError("sandbox_unavailable", `image ${options.name} was not built: ${why}`, { cause: error });
  }
}

async function there(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
