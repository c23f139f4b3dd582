import { spawn } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { pack } from "tar-stream";
import * as z from "zod";
import { GymError } from "../../core/errors.ts";
import { Digest } from "../../core/ids.ts";
import { type Engine, statusOf } from "../engine.ts";
import { type ImageSource, imageChain } from "./definitions.ts";
import { debianRoot, type PackageBuildOptions } from "./package-build.ts";

const BUILD_MS = 30 * 60_000;
const PULL_MS = 5 * 60_000;
const BASE = "debian:bookworm-slim";
const LOCAL_BASE = "polygym/debian";

/** One line of the engine's progress. */
const Progress = z.object({
  stream: z.string().optional(),
  status: z.string().optional(),
  error: z.string().optional(),
});

/** Builds an image and those below it with the engine, from docker/images/<name>/Dockerfile. Answers its id. */
export async function buildWithEngine(engine: Engine, options: PackageBuildOptions): Promise<Digest> {
  let base = "";
  let id: Digest | null = null;
  for (const source of await imageChain(options.name)) {
    if (source.from === null) base = await lowestBase(engine, options, source);
    id = await buildOne(engine, { folder: source.folder, tag: `polygym/${source.name}`, base }, options);
    base = `polygym/${source.name}`;
  }
  if (!id) throw new RangeError("an image's chain is empty");
  return id;
}

/** A Dockerfile with its folder, e.g. of a task. */
export interface EngineBuild {
  readonly folder: string;
  readonly tag: string;
  /** For `ARG BASE`. */
  readonly base?: string;
}

/** The engine's cache decides what is done again. The build has the network of the machine. */
export async function buildOne(engine: Engine, build: EngineBuild, options: PackageBuildOptions): Promise<Digest> {
  const buildargs = build.base === undefined ? {} : { BASE: build.base };
  const { signal, onLog } = options;
  await engine.call(
    `build image ${build.tag}`,
    async (docker, limit) => {
      const abortSignal = signal ? AbortSignal.any([signal, limit]) : limit;
      const context = await folderArchive(build.folder);
      const stream = await docker.buildImage(context, {
        t: build.tag,
        buildargs,
        networkmode: "host",
        rm: true,
        forcerm: true,
        abortSignal,
      });
      await follow(stream, onLog);
    },
    BUILD_MS,
  );
  const found = await engine.call("look for the image", (docker) => docker.getImage(build.tag).inspect());
  return Digest.parse(found.Id);
}

/** The distribution's own image where it is there or can be pulled, else a root file system from the package mirror. */
async function lowestBase(engine: Engine, options: PackageBuildOptions, source: ImageSource): Promise<string> {
  if (await hasImage(engine, BASE)) return BASE;
  if (await hasImage(engine, LOCAL_BASE)) return LOCAL_BASE;
  try {
    await engine.call("pull the base image", async (docker) => follow(await docker.pull(BASE), options.onLog), PULL_MS);
    return BASE;
  } catch (error) {
    options.onLog(
      `${error instanceof Error ? error.message : String(error)}; taking a root file system from the package mirror`,
    );
  }
  const [root = ""] = await debianRoot(options, source.release);
  const archive = spawn("tar", ["-C", root, "--numeric-owner", "--one-file-system", "-c", "."], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await engine.call(
    "import the base image",
    async (docker) => text(await docker.importImage(archive.stdout, { repo: LOCAL_BASE, tag: "latest" })),
    BUILD_MS,
  );
  return LOCAL_BASE;
}

async function hasImage(engine: Engine, name: string): Promise<boolean> {
  try {
    await engine.call(`look for image ${name}`, (docker) => docker.getImage(name).inspect());
    return true;
  } catch (error) {
    if (statusOf(error) === 404) return false;
    throw error;
  }
}

/** Tells every line; an error in the stream is the build's failure. */
async function follow(stream: NodeJS.ReadableStream, onLog: (line: string) => void): Promise<void> {
  for await (const line of createInterface({ input: stream })) {
    if (line.trim() === "") continue;
    const { stream: said, status, error } = Progress.parse(JSON.parse(line));
    if (error !== undefined) throw new GymError("sandbox_unavailable", `the build failed: ${error}`);
    const words = (said ?? status ?? "").trimEnd();
    if (words !== "") onLog(words);
  }
}

/** Only plain files; a build context has no links. */
async function folderArchive(folder: string): Promise<Readable> {
  const archive = pack();
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    archive.entry({ name: path.slice(folder.length + 1) }, await readFile(path));
  }
  archive.finalize();
  return Readable.from(archive);
}
