import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { pack } from "tar-stream";
import * as z from "zod";
import { GymError } from "../../core/errors.ts";
import { Digest } from "../../core/ids.ts";
import type { FileTree } from "../../core/task.ts";
import { type Engine, statusOf } from "../engine.ts";
import { debianRoot } from "./bootstrap.ts";
import type { ImageSource } from "./definitions.ts";
import { BUILD_MS, type BuildContext } from "./run-logged.ts";

const PULL_MS = 5 * 60_000;
/** Until the engine has taken the files of a build. */
const BEGIN_MS = 2 * 60_000;
const BASE = "debian:bookworm-slim";
const LOCAL_BASE = "polygym/debian";
/**
 * Of a finished image, those below it included, and of what making it writes: data sets and toolchains fit, a disk filled on
 * purpose does not.
 */
export const MOST_BYTES = 24 * 1024 ** 3;

/** One line of the engine's progress. */
const Progress = z.object({
  stream: z.string().optional(),
  status: z.string().optional(),
  error: z.string().optional(),
});

/** A Dockerfile with the files beside it, and nothing of this machine. */
export interface EngineBuild {
  readonly files: FileTree;
  readonly tag: string;
  /** For `ARG BASE`. */
  readonly base?: string;
  /** "host": the machine's network, for our own Dockerfiles alone. (Default: what the engine gives to containers) */
  readonly network?: "host";
  /** Does again what the engine has in its cache. */
  readonly fresh?: boolean;
  readonly limits?: { readonly memoryBytes: number; readonly timeoutMs: number };
}

/** Builds with the engine. What the Dockerfile does wrong is `image_failed`. Answers the image's id. */
export async function buildOne(engine: Engine, build: EngineBuild, context: BuildContext): Promise<Digest> {
  const { memoryBytes, timeoutMs = BUILD_MS } = build.limits ?? {};
  const limits = memoryBytes === undefined ? {} : { memory: memoryBytes, memswap: memoryBytes };
  const late = AbortSignal.timeout(timeoutMs);
  const abortSignal = AbortSignal.any([late, ...(context.signal ? [context.signal] : [])]);
  const work = async (): Promise<string | null> => {
    const options = {
      t: build.tag,
      ...(build.base === undefined ? {} : { buildargs: { BASE: build.base } }),
      ...(build.network === undefined ? {} : { networkmode: build.network }),
      ...limits,
      nocache: build.fresh ?? false,
      rm: true,
      forcerm: true,
      abortSignal,
    };
    const begin = `begin to build image ${build.tag}`;
    const bounds = { timeoutMs: BEGIN_MS, signal: context.signal };
    const stream = await engine.call(begin, (docker) => docker.buildImage(archiveOf(build.files), options), bounds);
    return await untilAborted(follow(stream, context.onLog), abortSignal);
  };
  const failure = await work().catch((error: unknown) => {
    context.signal?.throwIfAborted();
    if (late.aborted) return `no end within ${timeoutMs / 60_000} minutes`;
    // It read the Dockerfile and did not like it.
    if (statusOf(error) === 400) return error instanceof Error ? error.message : "the engine refused it";
    throw error;
  });
  if (failure !== null) throw buildFailure(context.name, failure);
  const found = await engine.call("look for the image", (docker) => docker.getImage(build.tag).inspect());
  if (found.Size <= MOST_BYTES) return Digest.parse(found.Id);
  await engine.call("remove an image", (docker) => docker.getImage(build.tag).remove());
  throw buildFailure(context.name, `it has ${found.Size} bytes, at most ${MOST_BYTES} are allowed`);
}

/** A stream that is cut off does not end by itself. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function buildFailure(name: string, why: string): GymError {
  const unreachable = /pull access denied|manifest unknown|registry|no such host|dial tcp|TLS handshake/i.test(why);
  const hint = unreachable ? "; its base image is not here and cannot be pulled: load it into the engine first" : "";
  return new GymError("image_failed", `image ${name} was not built: ${why}${hint}`);
}

/** The distribution's own image where it is there or can be pulled, else a root file system from the package mirror. */
export async function lowestBase(engine: Engine, context: BuildContext, source: ImageSource): Promise<string> {
  if (await hasImage(engine, BASE)) return BASE;
  if (await hasImage(engine, LOCAL_BASE)) return LOCAL_BASE;
  try {
    const pulling = await engine.call("pull the base image", (docker) => docker.pull(BASE), PULL_MS);
    const failure = await follow(pulling, context.onLog);
    if (failure === null) return BASE;
    context.onLog(failure);
  } catch (error) {
    context.onLog(error instanceof Error ? error.message : String(error));
  }
  context.onLog(`${BASE} cannot be pulled: taking a root file system from the package mirror`);
  const root = await debianRoot(context, source.release);
  const archive = spawn("tar", ["-C", root, "--numeric-owner", "--one-file-system", "-c", "."], {
    stdio: ["ignore", "pipe", "ignore"],
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

/** Tells every line. Answers what the engine says has failed, or null. */
async function follow(stream: NodeJS.ReadableStream, onLog: (line: string) => void): Promise<string | null> {
  let failure: string | null = null;
  for await (const line of createInterface({ input: stream })) {
    if (line.trim() === "") continue;
    const { stream: said, status, error } = Progress.parse(JSON.parse(line));
    failure ??= error ?? null;
    const words = (error ?? said ?? status ?? "").trimEnd();
    if (words !== "") onLog(words);
  }
  return failure;
}

/** Only plain files: a build context has no links. */
function archiveOf(files: FileTree): Readable {
  const archive = pack();
  for (const [name, { data, mode }] of files) archive.entry({ name, mode }, Buffer.from(data));
  archive.finalize();
  return Readable.from(archive);
}
