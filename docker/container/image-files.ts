import { randomBytes } from "node:crypto";
import type Docker from "dockerode";
import * as z from "zod";
import { type Engine, statusOf } from "../engine.ts";
import { tarEntries } from "./tar-entries.ts";

/** For a checkout of gibibytes, from or to a slow disk; an engine that stops in the middle holds nobody up for longer. */
export const COPY_MS = 10 * 60_000;
const CONTAINERS = "polygym-files-";
/** A container that is older than any copying. */
const LEFT_S = 3600;
/** As Go writes the mode of a folder and of a link. */
const FOLDER = 0x8000_0000;
const LINK = 0x0800_0000;

const Stat = z.object({ mode: z.int(), linkTarget: z.string().default("") });

export interface Place {
  readonly type: "folder" | "link" | "other";
  /** Of a link, where it leads in the end; else empty. */
  readonly target: string;
}

export interface ImageFilesOptions {
  /** Id of the image. */
  readonly image: string;
  /** Of the container; they become those of an image that is made of it. (Default: none) */
  readonly labels?: Readonly<Record<string, string>>;
  /** Ends what is under way. */
  readonly signal?: AbortSignal | undefined;
}

/** The files of an image, as archives out of a container that is made and never started. It is removed at the end. */
export class ImageFiles implements AsyncDisposable {
  readonly #engine: Engine;
  readonly #signal: AbortSignal | undefined;
  readonly container: Docker.Container;

  private constructor(engine: Engine, container: Docker.Container, signal: AbortSignal | undefined) {
    this.#engine = engine;
    this.container = container;
    this.#signal = signal;
  }

  static async open(engine: Engine, { image, labels = {}, signal }: ImageFilesOptions): Promise<ImageFiles> {
    const name = `${CONTAINERS}${randomBytes(9).toString("hex")}`;
    const options = { Image: image, Entrypoint: ["/polygym"], Cmd: [], Labels: { ...labels }, NetworkDisabled: true };
    const make = (docker: Docker): Promise<Docker.Container> => docker.createContainer({ ...options, name });
    return new ImageFiles(engine, await engine.call("make a container", make), signal);
  }

  /** Null when nothing is there. */
  async placeOf(path: string): Promise<Place | null> {
    return await this.#there(async () => {
      const look = (): Promise<unknown> => this.container.infoArchive({ path });
      const answer = await this.#engine.call(`look at ${path} of an image`, look);
      const head = z.object({ headers: z.record(z.string(), z.unknown()) }).parse(answer).headers;
      const said = z.string().parse(head["x-docker-container-path-stat"]);
      const { mode, linkTarget: target } = Stat.parse(JSON.parse(Buffer.from(said, "base64").toString()));
      return { type: (mode & LINK) !== 0 ? "link" : (mode & FOLDER) !== 0 ? "folder" : "other", target };
    });
  }

  /** Whether there is a folder with something in it. */
  async hasEntries(folder: string): Promise<boolean> {
    const read = async (stream: NodeJS.ReadableStream): Promise<boolean> => {
      let count = 0;
      for await (const _ of tarEntries(stream)) if (++count > 1) break;
      return count > 1;
    };
    return (await this.read(folder, read)) ?? false;
  }

  /** What `take` makes of the engine's tar of a file or folder; null when nothing is there. */
  async read<T>(
    path: string,
    take: (stream: NodeJS.ReadableStream) => Promise<T>,
    signal: AbortSignal | undefined = this.#signal,
  ): Promise<T | null> {
    const read = async (abortSignal: AbortSignal): Promise<T> =>
      await take(await this.container.getArchive({ path, abortSignal }));
    const bounds = { timeoutMs: COPY_MS, signal };
    return await this.#there(() => this.#engine.call(`read ${path} of an image`, (_docker, end) => read(end), bounds));
  }

  /** Never fails: what was read or made of it is good, and what is left is found by {@link sweepImageFiles}. */
  async [Symbol.asyncDispose](): Promise<void> {
    const remove = (): Promise<void> => this.container.remove({ force: true, v: true });
    await this.#engine.call("remove a container", remove).catch(() => undefined);
  }

  async #there<T>(work: () => Promise<T>): Promise<T | null> {
    try {
      return await work();
    } catch (error) {
      if (statusOf(error) === 404) return null;
      throw error;
    }
  }
}

/** Removes what killed processes left. */
export async function sweepImageFiles(engine: Engine): Promise<void> {
  const filters = { name: [CONTAINERS] };
  const found = await engine.call("list containers", (docker) => docker.listContainers({ all: true, filters }));
  for (const { Id, Created } of found)
    if (Date.now() / 1000 - Created > LEFT_S)
      await engine
        .call("remove a container", (docker) => docker.getContainer(Id).remove({ force: true, v: true }))
        .catch(() => undefined); // another process was faster
}
