import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import type Docker from "dockerode";
import { extract, type Header, type Pack, pack } from "tar-stream";
import * as z from "zod";
import { GymError } from "../../core/errors.ts";
import { canonicalJson, Digest, sha256 } from "../../core/ids.ts";
import { WORKSPACE } from "../../core/sandbox.ts";
import { isWithin, otherName, workdirMisfit } from "../../core/workdir.ts";
import { type Engine, statusOf } from "../engine.ts";

/**
 * Images in which the task's working folder, such as /app, is a link to the workspace and what was in it lies there. Made of
 * an image's files alone: nothing of it runs, so it needs no shell. Covers: nothing is unpacked on this machine; devices
 * are left out; an image whose own files would get lost is refused.
 */

/** Says of which folder an image was made so; what was not is looked at when it is asked for. */
export const WORKDIR_LABEL = "polygym.workdir";
const REPO = "polygym/workdir";
/** Changes when the way of making them does. */
const METHOD = 1;
const CONTAINERS = "polygym-workdir-";
/** A container that is older than any making of an image. */
const LEFT_S = 3600;
/** For a checkout of gibibytes, from a slow disk. */
const COPY_MS = 10 * 60_000;
/** As Go writes the mode of a link and of a folder. */
const LINK = 0x0800_0000;
const FOLDER = 0x8000_0000;

const Inspected = z.object({
  Id: Digest,
  Config: z.object({
    Env: z.array(z.string()).nullish(),
    Labels: z.record(z.string(), z.string()).nullish(),
    Volumes: z.record(z.string(), z.unknown()).nullish(),
    WorkingDir: z.string().nullish(),
  }),
});
type Inspected = z.infer<typeof Inspected>;

const Place = z.object({ mode: z.int(), linkTarget: z.string().default("") });

export interface WorkdirRequest {
  /** What the engine knows the image by. */
  readonly reference: string;
  /** For messages. */
  readonly name: string;
  /** What the task says; null: the image's own WORKDIR. */
  readonly workdir: string | null;
}

export interface WorkdirImage {
  readonly id: Digest;
  /** The other name of the workspace; null: none. */
  readonly workdir: string | null;
}

interface Made extends AsyncDisposable {
  readonly container: Docker.Container;
}

interface Move {
  readonly folder: string;
  /** Where the image's files are that belong there; null: nowhere. */
  readonly from: string | null;
}

/** The image itself where nothing is to be done, else one made of it, once. */
export async function workdirImage(engine: Engine, request: WorkdirRequest): Promise<WorkdirImage> {
  const found = await inspect(engine, request.reference);
  const own = otherName(found.Config.WorkingDir);
  const making = new WorkdirMaking(engine, request, found);
  const wanted = request.workdir === null ? own : otherName(request.workdir);
  if (wanted === own && (own === null || found.Config.Labels?.[WORKDIR_LABEL] === own))
    return { id: found.Id, workdir: own };
  return await making.image(wanted, request.workdir === null);
}

async function inspect(engine: Engine, reference: string): Promise<Inspected> {
  return Inspected.parse(
    await engine.call(`look for image ${reference}`, (docker) => docker.getImage(reference).inspect()),
  );
}

/** One image being made. */
class WorkdirMaking {
  readonly #engine: Engine;
  readonly #request: WorkdirRequest;
  readonly #found: Inspected;

  constructor(engine: Engine, request: WorkdirRequest, found: Inspected) {
    this.#engine = engine;
    this.#request = request;
    this.#found = found;
  }

  /** `own`: nobody but the image asks for the folder. */
  async image(wanted: string | null, own: boolean): Promise<WorkdirImage> {
    const tag = sha256(canonicalJson([METHOD, this.#found.Id, wanted, own])).slice(7, 39);
    const known = await inspect(this.#engine, `${REPO}:${tag}`).catch((error: unknown) => {
      if (statusOf(error) === 404) return null;
      throw error;
    });
    if (known !== null) return { id: known.Id, workdir: otherName(known.Config.WorkingDir) };
    await this.#sweep();
    await using source = await this.#made();
    const move = wanted === null ? null : await this.#planned(source, wanted, own);
    await using target = await this.#made();
    if (move !== null) await this.#put(source, target, move);
    const label = move === null ? [] : [`LABEL ${WORKDIR_LABEL}=${move.folder}`];
    const changes = [`WORKDIR ${move?.folder ?? WORKSPACE}`, ...label];
    const commit = (): Promise<unknown> => target.container.commit({ repo: REPO, tag, changes });
    await this.#engine.call("make an image with a working folder", commit, COPY_MS);
    return { id: (await inspect(this.#engine, `${REPO}:${tag}`)).Id, workdir: move?.folder ?? null };
  }

  /** A container that is made and never started, removed at the end. Without labels: they would become the image's. */
  async #made(): Promise<Made> {
    const options = { Image: this.#found.Id, Entrypoint: ["/polygym-workdir"], Cmd: [], NetworkDisabled: true };
    const name = `${CONTAINERS}${randomBytes(9).toString("hex")}`;
    const container = await this.#engine.call("make a container", (docker) =>
      docker.createContainer({ ...options, name }),
    );
    const remove = (): Promise<void> =>
      this.#engine.call("remove a container", () => container.remove({ force: true, v: true }));
    return { container, [Symbol.asyncDispose]: remove };
  }

  /** Removes what killed processes left. */
  async #sweep(): Promise<void> {
    const filters = { name: [CONTAINERS] };
    const found = await this.#engine.call("list containers", (docker) => docker.listContainers({ all: true, filters }));
    for (const { Id, Created } of found)
      if (Date.now() / 1000 - Created > LEFT_S)
        await this.#engine
          .call("remove a container", (docker) => docker.getContainer(Id).remove({ force: true, v: true }))
          .catch(() => undefined); // another process was faster
  }

  /** Null: the folder gives the workspace no other name, or the image says of itself that it has its files in the workspace. */
  async #planned({ container }: Made, folder: string, own: boolean): Promise<Move | null> {
    const isFilled = await this.#hasEntries(container, WORKSPACE);
    const misfit = workdirMisfit(folder) ?? this.#misfit(folder);
    if (misfit !== null) {
      if (own && isFilled) return null;
      throw this.#refusal(folder, misfit);
    }
    const place = await this.#placeOf(container, folder);
    if (place === null || place.linkTarget === WORKSPACE) return { folder, from: null };
    if (isWithin(WORKSPACE, place.linkTarget)) return null;
    if ((place.mode & (LINK | FOLDER)) === 0) throw this.#refusal(folder, "it is a file in the image");
    const from = place.linkTarget || folder;
    if (!(await this.#hasEntries(container, from))) return { folder, from: null };
    if (isFilled)
      throw this.#refusal(folder, `the image has files both there and in ${WORKSPACE}: have all in one of the two`);
    return { folder, from };
  }

  /** From one container into another: the engine reads none while it writes it. A link takes the place of a folder. */
  async #put(source: Made, target: Made, { folder, from }: Move): Promise<void> {
    const archive = pack();
    const body = Readable.from(archive);
    const write = (): Promise<unknown> => target.container.putArchive(body, { path: "/" });
    const putting = this.#engine.call("make a working folder", write, COPY_MS);
    const fill = async (): Promise<void> => {
      archive.entry({ name: `${WORKSPACE.slice(1)}/`, type: "directory", mode: 0o755 });
      if (from !== null) await this.#read(source.container, from, (stream) => moveEntries(stream, archive));
      archive.entry({ name: folder.slice(1), type: "symlink", linkname: WORKSPACE });
      archive.finalize();
    };
    const filling = fill();
    try {
      await Promise.all([filling, putting]);
    } catch (error) {
      body.destroy();
      archive.destroy();
      await Promise.allSettled([filling, putting]);
      throw error;
    }
  }

  /** What only the image can say. */
  #misfit(folder: string): string | null {
    const { Env: env, Volumes: volumes } = this.#found.Config;
    const home = env?.find((entry) => entry.startsWith("HOME="))?.slice("HOME=".length);
    if (home !== undefined && isWithin(folder, home))
      return `the image's HOME is ${home}, and an attempt may not bring files that set programs up: use another folder`;
    const volume = Object.keys(volumes ?? {}).find((path) => isWithin(folder, path) || isWithin(path, folder));
    return volume === undefined ? null : `the image declares a volume at ${volume}: take VOLUME out of its Dockerfile`;
  }

  #refusal(folder: string, why: string): GymError {
    const { name, workdir } = this.#request;
    const source = workdir === null ? "its WORKDIR" : "environment.workdir of task.toml";
    const way = workdir === null ? `; or set environment.workdir = "${WORKSPACE}" in task.toml to stay there` : "";
    return new GymError("image_failed", `image ${name}: ${source}, ${folder}, cannot be the workspace: ${why}${way}`);
  }

  /** Null when nothing is there. */
  async #placeOf(container: Docker.Container, path: string): Promise<z.infer<typeof Place> | null> {
    try {
      const answer = await this.#engine.call(`look at ${path} of an image`, () => container.infoArchive({ path }));
      const head = z.object({ headers: z.record(z.string(), z.unknown()) }).parse(answer).headers;
      const said = z.string().parse(head["x-docker-container-path-stat"]);
      return Place.parse(JSON.parse(Buffer.from(said, "base64").toString()));
    } catch (error) {
      if (statusOf(error) === 404) return null;
      throw error;
    }
  }

  async #hasEntries(container: Docker.Container, folder: string): Promise<boolean> {
    if ((await this.#placeOf(container, folder)) === null) return false;
    return await this.#read(container, folder, hasEntries);
  }

  async #read<T>(
    container: Docker.Container,
    path: string,
    read: (stream: NodeJS.ReadableStream) => Promise<T>,
  ): Promise<T> {
    const take = async (signal: AbortSignal): Promise<T> =>
      read(await container.getArchive({ path, abortSignal: signal }));
    return await this.#engine.call(`read ${path} of an image`, (_docker, signal) => take(signal), COPY_MS);
  }
}

/** Whether an engine's tar of a folder has more than the folder. */
async function hasEntries(stream: NodeJS.ReadableStream): Promise<boolean> {
  const entries = extract();
  stream.pipe(entries);
  stream.once("error", (error: Error) => entries.destroy(error));
  let count = 0;
  for await (const entry of entries) {
    if (++count > 1) break;
    entry.resume();
  }
  // Until its answer is read or cut off, the engine does nothing else with the container.
  if (stream instanceof Readable) stream.destroy();
  return count > 1;
}

/** Writes the entries of an engine's tar of a folder as those of the workspace. */
async function moveEntries(stream: NodeJS.ReadableStream, archive: Pack): Promise<void> {
  const entries = extract();
  stream.pipe(entries);
  stream.once("error", (error: Error) => entries.destroy(error));
  for await (const entry of entries) {
    const header = moved(entry.header);
    if (header === null) {
      entry.resume();
      continue;
    }
    const { promise: written, resolve, reject } = Promise.withResolvers<void>();
    entry.pipe(archive.entry(header, (error) => (error ? reject(error) : resolve())));
    await written;
  }
}

/** Null: it stays behind. */
function moved(header: Header): Parameters<Pack["entry"]>[0] | null {
  const { type } = header;
  if (type !== "file" && type !== "directory" && type !== "symlink" && type !== "link") return null;
  const name = below(header.name);
  const linkname = type === "link" ? below(header.linkname ?? "") : (header.linkname ?? "");
  if (name === null || linkname === null) return null;
  const { mode, mtime, size, uid, gid } = header;
  return {
    name,
    type,
    ...{ mode, mtime, uid, gid },
    ...(type === "file" ? { size } : {}),
    ...(linkname === "" ? {} : { linkname }),
  };
}

/** The first part is the folder's own name. */
function below(name: string): string | null {
  const parts = name.replace(/\/+$/, "").split("/").slice(1);
  if (parts.some((part) => part === "" || part === "." || part === "..")) return null;
  return [WORKSPACE.slice(1), ...parts].join("/");
}
