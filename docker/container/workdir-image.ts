import * as z from "zod";
import { GymError } from "../../core/errors.ts";
import { canonicalJson, type Digest, sha256 } from "../../core/ids.ts";
import { WORKSPACE } from "../../core/sandbox.ts";
import { imageName, otherName } from "../../core/workdir.ts";
import { type Engine, statusOf } from "../engine.ts";
import { COPY_MS, ImageFiles, sweepImageFiles } from "./image-files.ts";
import { PacedPack, type TarHeader } from "./paced-pack.ts";
import { partsBelow, type TarEntry, tarEntries } from "./tar-entries.ts";
import { changesFor, isMade, planWorkdir, type WorkdirMove, WorkdirSource, type WorkdirWish } from "./workdir-plan.ts";

/**
 * Images in which the task's working folder, such as /app, is a link to the workspace and what was in it lies there. Made of
 * an image's files alone: nothing of it runs, so it needs no shell. Covers: nothing is unpacked on this machine; devices
 * are left out; an image whose own files would get lost is refused.
 */

/** Where images are kept that were made of others' images. */
const OTHERS = "polygym/workdir";
/** Says of what an image was made, and for which folder: who asks again gets it. */
const MADE_LABEL = "polygym.workdir.made";
/** Changes when the way of making them does. */
const METHOD = 2;

export interface WorkdirRequest {
  /** What the engine knows the image by. */
  readonly reference: string;
  /** For messages. */
  readonly name: string;
  /** What the task says; null: the image's own WORKDIR. */
  readonly workdir: string | null;
  /** Name that an image made of it gets, for the one who answers for removing it. (Default: one in {@link OTHERS}, which stays) */
  readonly keepAs?: string;
  readonly signal?: AbortSignal | undefined;
}

export interface WorkdirImage {
  readonly id: Digest;
  /** The other name of the workspace; null: none. */
  readonly workdir: string | null;
}

interface Making {
  readonly request: WorkdirRequest;
  readonly found: WorkdirSource;
  readonly wanted: string | null;
}

/** The image itself where nothing is to be done, else one made of it, once. */
export async function workdirImage(engine: Engine, request: WorkdirRequest): Promise<WorkdirImage> {
  const found = await inspect(engine, request.reference);
  const own = imageName(found.Config.WorkingDir);
  if (isMade(found, request.workdir)) return { id: found.Id, workdir: own };
  const wanted = request.workdir === null ? own : otherName(request.workdir);
  return await madeImage(engine, { request, found, wanted });
}

/** The name that an image's own WORKDIR gives to the workspace where nobody asks for another; null: none. */
export async function ownWorkdir(files: ImageFiles, found: WorkdirSource, name: string): Promise<string | null> {
  const folder = imageName(found.Config.WorkingDir);
  if (folder === null || isMade(found, null)) return folder;
  try {
    return (await planWorkdir(files, found, wishOf({ name, workdir: null }, folder)))?.folder ?? null;
  } catch (error) {
    // Whoever asks for it is told why it cannot be.
    if (error instanceof GymError && error.code === "image_failed") return folder;
    throw error;
  }
}

function wishOf({ name, workdir }: Pick<WorkdirRequest, "name" | "workdir">, folder: string): WorkdirWish {
  const source = workdir === null ? "its WORKDIR" : "environment.workdir of task.toml";
  const way = workdir === null ? `; or set environment.workdir = "${WORKSPACE}" in task.toml to stay there` : "";
  const refusal = (why: string): GymError =>
    new GymError("image_failed", `image ${name}: ${source}, ${folder}, cannot be the workspace: ${why}${way}`);
  return { folder, isOwn: workdir === null, refusal };
}

async function inspect(engine: Engine, reference: string): Promise<WorkdirSource> {
  return WorkdirSource.parse(
    await engine.call(`look for image ${reference}`, (docker) => docker.getImage(reference).inspect()),
  );
}

async function madeImage(engine: Engine, { request, found, wanted }: Making): Promise<WorkdirImage> {
  const { signal, workdir } = request;
  const key = sha256(canonicalJson([METHOD, found.Id, wanted, workdir === null])).slice(7, 39);
  const { repo, tag } =
    request.keepAs === undefined ? { repo: OTHERS, tag: key } : { repo: request.keepAs, tag: "latest" };
  const known = await inspect(engine, `${repo}:${tag}`).catch((error: unknown) => {
    if (statusOf(error) === 404) return null;
    throw error;
  });
  if (known?.Config.Labels?.[MADE_LABEL] === key) return { id: known.Id, workdir: otherName(known.Config.WorkingDir) };
  await sweepImageFiles(engine);
  await using source = await ImageFiles.open(engine, { image: found.Id, signal });
  const move = wanted === null ? null : await planWorkdir(source, found, wishOf(request, wanted));
  await using target = await ImageFiles.open(engine, { image: found.Id });
  if (move !== null) await put(engine, { source, target, move, signal });
  const commit = { repo, tag, changes: [...changesFor(move), `LABEL ${MADE_LABEL}=${key}`] };
  const said = await engine.call(
    "make an image with a working folder",
    (_docker, abortSignal) => target.container.commit({ ...commit, abortSignal }),
    { timeoutMs: COPY_MS, signal },
  );
  // Podman leaves "sha256:" out.
  const made = z.object({ Id: z.string().regex(/^(sha256:)?[0-9a-f]{64}$/) }).parse(said).Id;
  const { Id: id } = await inspect(engine, `${repo}:${tag}`);
  // Another process made the same at the same time, and the name is its image's.
  if (!id.endsWith(made))
    await engine.call("remove an image", (docker) => docker.getImage(made).remove()).catch(() => undefined);
  return { id, workdir: move?.folder ?? null };
}

interface Putting {
  readonly source: ImageFiles;
  readonly target: ImageFiles;
  readonly move: WorkdirMove;
  readonly signal: AbortSignal | undefined;
}

/** From one container into another: the engine reads none while it writes it. A link takes the place of a folder. */
async function put(engine: Engine, { source, target, move: { folder, from }, signal }: Putting): Promise<void> {
  const archive = new PacedPack();
  const failed = new AbortController();
  const end = AbortSignal.any(signal ? [failed.signal, signal] : [failed.signal]);
  const putting = engine.call(
    "make a working folder",
    (_docker, abortSignal) => target.container.putArchive(archive.body, { path: "/", abortSignal }),
    { timeoutMs: COPY_MS, signal: end },
  );
  const fill = async (): Promise<void> => {
    await archive.add({ name: `${WORKSPACE.slice(1)}/`, type: "directory", mode: 0o755 });
    if (from !== null) await source.read(from, (stream) => moveEntries(stream, archive), end);
    await archive.add({ name: folder.slice(1), type: "symlink", linkname: WORKSPACE });
    archive.finish();
  };
  const filling = fill();
  try {
    await Promise.all([filling, putting]);
  } catch (error) {
    failed.abort(error);
    archive.destroy();
    await Promise.allSettled([filling, putting]);
    throw error;
  }
}

/** Writes the entries of an engine's tar of a folder as those of the workspace. */
async function moveEntries(stream: NodeJS.ReadableStream, archive: PacedPack): Promise<void> {
  for await (const entry of tarEntries(stream)) {
    const header = moved(entry.header);
    if (header !== null) await archive.add(header, header.type === "file" ? entry : null);
  }
}

/** Null: it stays behind. */
function moved({ name, type, linkname, size, ...rest }: TarEntry["header"]): TarHeader | null {
  if (type !== "file" && type !== "directory" && type !== "symlink" && type !== "link") return null;
  const path = below(name);
  const target = type === "link" ? below(linkname ?? "") : (linkname ?? "");
  if (path === null || target === null) return null;
  const { mode, mtime, uid, gid } = rest;
  return {
    ...{ name: path, type, mode, mtime, uid, gid },
    ...(type === "file" ? { size } : {}),
    ...(target === "" ? {} : { linkname: target }),
  };
}

function below(name: string): string | null {
  const parts = partsBelow(name);
  return parts === null ? null : [WORKSPACE.slice(1), ...parts].join("/");
}
