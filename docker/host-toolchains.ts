import { execFile } from "node:child_process";
import { chmod, copyFile, link, lstat, mkdir, readdir, readlink, rename, rm, stat, symlink } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { canonicalJson, sha256 } from "../core/ids.ts";

/**
 * Toolchains that a version manager keeps in somebody's home folder, for image `host`: their real files, at /opt/<name>.
 * Covers: nothing of the home folder around them, no shim, and no file that others may not read. Does not cover: what a
 * toolchain's own files say about where they were installed.
 */

const run = promisify(execFile);
const ASK_MS = 10_000;

interface Kind {
  readonly name: string;
  /** Programs that know their prefix, the first that answers; relative ones are looked for on the PATH. */
  readonly programs: readonly string[];
  readonly ask: readonly string[];
  /** Below the prefix, without manuals and sources. */
  readonly parts: readonly string[];
}

const KINDS: readonly Kind[] = [
  {
    name: "rust",
    programs: ["rustc", join(homedir(), ".cargo/bin/rustc"), "/usr/local/cargo/bin/rustc"],
    ask: ["--print", "sysroot"],
    parts: ["bin", "lib", "libexec", "etc"],
  },
  {
    name: "go",
    programs: ["go", join(homedir(), "go/bin/go"), join(homedir(), "sdk/go/bin/go")],
    ask: ["env", "GOROOT"],
    parts: ["bin", "lib", "pkg", "src", "go.env", "VERSION"],
  },
];

export interface HostToolchain {
  readonly name: string;
  /** Where it lies on this machine. */
  readonly prefix: string;
  /** Changes when it is updated. */
  readonly key: string;
  readonly parts: readonly string[];
}

/** Those outside the system's own folders, which every sandbox sees anyway. */
export async function hostToolchains(): Promise<HostToolchain[]> {
  const found = await Promise.all(KINDS.map(find));
  return found.filter((one) => one !== null);
}

async function find({ name, programs, ask, parts }: Kind): Promise<HostToolchain | null> {
  for (const program of programs) {
    // In a project's folder a version manager would look for the version that it pins, and fetch it.
    const answer = await run(program, [...ask], { timeout: ASK_MS, cwd: "/" }).catch(() => null);
    const prefix = answer?.stdout.trim();
    if (!prefix?.startsWith("/")) continue;
    if (prefix.startsWith("/usr/")) return null;
    const bin = await stat(join(prefix, "bin")).catch(() => null);
    if (!bin?.isDirectory()) continue;
    return { name, prefix, parts, key: sha256(canonicalJson([name, prefix, parts, bin.mtimeMs])).slice(7, 15) };
  }
  return null;
}

/**
 * A folder that holds nothing but the toolchain, at the path it has inside: links to its files where the file system allows
 * them, else copies. Made once.
 */
export async function toolchainFolder(folder: string, { name, prefix, parts, key }: HostToolchain): Promise<string> {
  const target = join(folder, `${name}-${key}`);
  if ((await stat(target).catch(() => null)) !== null) return target;
  const part = `${target}.${process.pid}`;
  await rm(part, { recursive: true, force: true });
  const inside = join(part, "opt", name);
  await mkdir(inside, { recursive: true });
  for (const path of [part, join(part, "opt"), inside]) await chmod(path, 0o755);
  for (const entry of parts) await mirror(join(prefix, entry), join(inside, entry));
  try {
    await rename(part, target);
  } catch (error) {
    await rm(part, { recursive: true, force: true });
    if ((await stat(target).catch(() => null)) === null) throw error; // else another worker was faster
  }
  return target;
}

async function mirror(from: string, to: string): Promise<void> {
  const found = await lstat(from).catch(() => null);
  if (found?.isSymbolicLink()) await symlink(await readlink(from), to);
  else if (found?.isDirectory()) {
    await mkdir(to);
    await chmod(to, 0o755);
    for (const name of await readdir(from)) await mirror(join(from, name), join(to, name));
  } else if (found?.isFile() && (found.mode & 0o004) !== 0) await linkOrCopy(from, to);
}

/** A program of the machine at another path. */
export async function linkOrCopy(from: string, to: string): Promise<void> {
  const linked = await link(from, to).then(
    () => true,
    () => false,
  );
  if (!linked) await copyFile(from, to);
}
