import { execFile } from "node:child_process";
import { chmod, copyFile, mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import * as z from "zod";
import { canonicalJson, Digest, sha256 } from "../core/ids.ts";
import { buildSkeleton, realTopFolders } from "./host-skeleton.ts";
import { type HostToolchain, hostToolchains, linkOrCopy, toolchainFolder } from "./host-toolchains.ts";
import type { ImageDefinition, ImageMount } from "./light/image.ts";

/**
 * Image `host`: the machine's own system folders and interpreters, by allow-list.
 * Covers: home folders, the install folder, POLYGYM_HOME and the machine's /etc, /var, /opt and /srv are not in it;
 * files that only their owner may read are masked, because root inside would be their owner. Interpreters are the
 * system's real programs, never a version manager's shim. Does not cover: what everybody may read below /usr.
 */

const run = promisify(execFile);
const SYSTEM_PATH = "/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const CURRENT_LAYOUT = 2;

/** Name → candidates, and how to ask for the version. */
const TOOLS: Readonly<Record<string, { readonly paths: readonly string[]; readonly ask: readonly string[] }>> = {
  bash: { paths: ["/usr/bin/bash", "/bin/bash"], ask: ["--version"] },
  python3: { paths: ["/usr/bin/python3", "/usr/local/bin/python3"], ask: ["-V"] },
  pytest: {
    paths: ["/usr/bin/python3", "/usr/local/bin/python3"],
    ask: ["-I", "-c", "import pytest; print(pytest.__version__)"],
  },
  git: { paths: ["/usr/bin/git"], ask: ["--version"] },
  gcc: { paths: ["/usr/bin/gcc"], ask: ["--version"] },
  "g++": { paths: ["/usr/bin/g++"], ask: ["--version"] },
  make: { paths: ["/usr/bin/make"], ask: ["--version"] },
  go: { paths: ["/usr/local/go/bin/go", "/usr/bin/go"], ask: ["version"] },
  rustc: { paths: ["/usr/bin/rustc"], ask: ["--version"] },
  cargo: { paths: ["/usr/bin/cargo"], ask: ["--version"] },
  java: { paths: ["/usr/bin/java"], ask: ["-version"] },
};

const Facts = z.object({
  key: z.string(),
  digest: Digest,
  masks: z.record(z.string(), z.array(z.string())),
  runtimes: z.record(z.string(), z.object({ path: z.string(), version: z.string() })),
});
type Facts = z.infer<typeof Facts>;

export interface HostImageOptions {
  /** POLYGYM_HOME: the prepared folders lie below it, in images/. */
  readonly home: string;
}

/** Prepares the image; the slow part (versions, unreadable files) is remembered until the machine's packages change. */
export async function hostImage(options: HostImageOptions): Promise<ImageDefinition> {
  const folder = join(options.home, "images");
  await mkdir(folder, { recursive: true });
  const sources = ["/usr", ...(await realTopFolders())];
  const toolchains = await hostToolchains();
  const facts = await hostFacts(join(folder, "host.json"), { sources, toolchains, home: options.home });
  const short = facts.digest.slice("sha256:".length, "sha256:".length + 16);
  const skeleton = join(folder, `host-${short}`);
  await buildSkeleton(skeleton);
  const node = await nodeFolder(folder);
  const own = await Promise.all(toolchains.map((toolchain) => toolchainFolder(folder, toolchain)));
  const mounts: ImageMount[] = [
    { target: "", lowers: node ? [node, ...own] : own, masks: [] },
    ...sources.map((source) => ({ target: source, lowers: [source], masks: facts.masks[source] ?? [] })),
  ];
  const path = [...["node", ...toolchains.map(({ name }) => name)].map((name) => `/opt/${name}/bin`), SYSTEM_PATH];
  const info = { image: "host", digest: facts.digest, workdir: null, runtimes: facts.runtimes };
  return { info, skeleton, mounts, path: path.join(":") };
}

interface HostSources {
  readonly sources: readonly string[];
  readonly toolchains: readonly HostToolchain[];
  readonly home: string;
}

async function hostFacts(file: string, { sources, toolchains, home }: HostSources): Promise<Facts> {
  const changes = [process.execPath, process.version, toolchains.map(({ key }) => key), await packageTimes()];
  const key = sha256(canonicalJson([CURRENT_LAYOUT, sources, home, ...changes]));
  const known = await readFile(file, "utf8").then(
    (text) => Facts.safeParse(JSON.parse(text)),
    () => null,
  );
  if (known?.success && known.data.key === key) return known.data;
  const masks: Record<string, string[]> = {};
  for (const source of sources) masks[source] = [...(await unreadable(source)), ...ownFolders(source, home)];
  const runtimes = { ...(await findTools()), ...(await toolsOf(toolchains)) };
  const facts: Facts = { key, masks, runtimes, digest: sha256(canonicalJson([CURRENT_LAYOUT, sources, runtimes])) };
  const part = `${file}.${process.pid}`;
  await writeFile(part, JSON.stringify(facts));
  await rename(part, file);
  return facts;
}

/** Changes when packages are installed or removed, by apt or by hand in the usual places. */
async function packageTimes(): Promise<number[]> {
  const places = [
    "/var/lib/dpkg/status",
    "/usr/bin",
    "/usr/lib",
    "/usr/local/bin",
    "/usr/lib/python3/dist-packages",
    "/usr/local",
  ];
  return await Promise.all(
    places.map((place) =>
      stat(place).then(
        (found) => found.mtimeMs,
        () => 0,
      ),
    ),
  );
}

/** What others may not read, as paths relative to `source`. */
async function unreadable(source: string): Promise<string[]> {
  const search = [
    source,
    "-xdev",
    "-mindepth",
    "1",
    "(",
    "!",
    "-perm",
    "-o=r",
    "-o",
    "-type",
    "d",
    "!",
    "-perm",
    "-o=x",
    ")",
  ];
  const options = { maxBuffer: 64 * 1024 * 1024, encoding: "utf8" as const };
  // find ends with 1 when a folder was not readable to us, too; such a folder is in the list.
  const output = await run("/usr/bin/find", [...search, "-prune", "-print0"], options).then(
    (done) => done.stdout,
    (error: unknown) => z.object({ stdout: z.string() }).parse(error).stdout,
  );
  return output
    .split("\0")
    .filter((path) => path !== "")
    .map((path) => path.slice(source.length + 1));
}

/** The install folder and POLYGYM_HOME, where somebody put them below a folder of the image. */
function ownFolders(source: string, home: string): string[] {
  const install = resolve(import.meta.dirname, "..");
  return [install, resolve(home)]
    .filter((path) => path.startsWith(`${source}/`))
    .map((path) => path.slice(source.length + 1));
}

async function findTools(): Promise<Facts["runtimes"]> {
  const found = await Promise.all(
    Object.entries(TOOLS).map(async ([name, { paths, ask }]) => {
      for (const path of paths) {
        const version = await versionOf(path, ask);
        if (version) return [name, { path, version }] as const;
      }
      return null;
    }),
  );
  const node = process.execPath.startsWith("/usr/") ? process.execPath : "/opt/node/bin/node";
  return Object.fromEntries([
    ...found.filter((entry) => entry !== null),
    ["node", { path: node, version: process.version }],
  ]);
}

/** Programs of toolchains, asked where they lie and told where they are inside. */
async function toolsOf(toolchains: readonly HostToolchain[]): Promise<Facts["runtimes"]> {
  const found: Record<string, { path: string; version: string }> = {};
  for (const { name, prefix } of toolchains)
    for (const [tool, { ask }] of Object.entries(TOOLS)) {
      const version = await versionOf(join(prefix, "bin", tool), ask);
      if (version) found[tool] = { path: `/opt/${name}/bin/${tool}`, version };
    }
  return found;
}

async function versionOf(path: string, ask: readonly string[]): Promise<string | undefined> {
  const answer = await run(path, [...ask], { timeout: 10_000, env: { LANG: "C.UTF-8" } }).catch(() => null);
  return (answer?.stdout || answer?.stderr)?.split("\n")[0]?.trim();
}

/**
 * A folder that holds nothing but this process's Node, at the path it has inside. A link where the file system allows
 * one, else a copy. Null when Node is in /usr anyway.
 */
async function nodeFolder(folder: string): Promise<string | null> {
  if (process.execPath.startsWith("/usr/")) return null;
  const { size, mtimeMs } = await stat(process.execPath);
  const target = join(
    folder,
    `node-${process.version}-${sha256(`${size}-${mtimeMs}-${process.execPath}`).slice(7, 15)}`,
  );
  if ((await stat(target).catch(() => null)) !== null) return target;
  const part = `${target}.${process.pid}`;
  const program = join(part, "opt/node/bin/node");
  await mkdir(dirname(program), { recursive: true });
  for (const path of ["", "opt", "opt/node", "opt/node/bin"]) await chmod(join(part, path), 0o755);
  // What others may not run gets a mode of its own, so it cannot be a link.
  if (((await stat(process.execPath)).mode & 0o005) === 0o005) await linkOrCopy(process.execPath, program);
  else {
    await copyFile(process.execPath, program);
    await chmod(program, 0o755);
  }
  try {
    await rename(part, target);
  } catch (error) {
    await rm(part, { recursive: true, force: true });
    if ((await stat(target).catch(() => null)) === null) throw error; // else another worker was faster
  }
  return target;
}
