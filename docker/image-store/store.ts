import { randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { GymError } from "../../core/errors.ts";
import type { Digest } from "../../core/ids.ts";
import type { ImageItem, ImagePresence } from "../../core/images.ts";
import type { Task } from "../../core/task.ts";
import { Engine } from "../engine.ts";
import { packageBuildMisfit } from "./bootstrap.ts";
import { buildDockerfile, buildImage } from "./build.ts";
import { type Collected, collectImages, imageBytes } from "./collect.ts";
import { definitionOfChain, imageChain, imageSources } from "./definitions.ts";
import { leaseImage } from "./leases.ts";
import { type ImageRecord, listRecords, usedAt, wholeRecord } from "./records.ts";
import type { BuildContext } from "./run-logged.ts";

/** Of images in a worker's presence, which is written every second. */
const MOST_NAMES = 200;
/** Whether an engine answers is asked again after so long. */
const ENGINE_FRESH_MS = 30_000;

export interface ImageStoreOptions {
  /** POLYGYM_HOME. */
  readonly home: string;
  readonly tier: string;
  /** Of the engine; null: the usual one. */
  readonly dockerHost: string | null;
  /** For an engine over TLS. */
  readonly dockerCertificates?: string | null;
}

/** What an image is made from; `definition` null: somebody else makes it, e.g. the machine itself. */
export interface WantedImage {
  readonly name: string;
  readonly definition: Digest | null;
  /** A task's own Dockerfile and what lies beside it. */
  readonly context: Task["context"];
  /** What its task says of the working folder. */
  readonly workdir: Task["workdir"];
}

/** The images of one machine, as the workers on it see them. Opened by each of them; one at a time builds or collects. */
export class ImageStore {
  /** The same for every process that shares the folder. */
  readonly id: string;
  readonly host = hostname();
  readonly #options: ImageStoreOptions;
  readonly #engine: Engine;
  /** Definitions of our own images by name; they come with the program and do not change while it runs. */
  readonly #own: ReadonlyMap<string, Digest>;
  #answers: { readonly at: number; readonly yes: Promise<boolean> } | null = null;

  private constructor(options: ImageStoreOptions, id: string, own: ReadonlyMap<string, Digest>) {
    this.#options = options;
    this.id = id;
    this.#own = own;
    this.#engine = new Engine(options.dockerHost, { certificates: options.dockerCertificates ?? null });
  }

  static async open(options: ImageStoreOptions): Promise<ImageStore> {
    const own = new Map<string, Digest>();
    for (const { name } of await imageSources()) own.set(name, definitionOfChain(await imageChain(name)));
    return new ImageStore(options, await storeId(options.home), own);
  }

  /** What this task's sandboxes are made of. */
  wanted({ image: name, context, workdir }: Pick<Task, "image" | "context" | "workdir">): WantedImage {
    return { name, context, workdir, definition: context?.digest ?? this.#own.get(name) ?? null };
  }

  /** True when there is nothing to build. */
  async isReady({ name, definition }: WantedImage): Promise<boolean> {
    if (definition === null) return true;
    const record = await wholeRecord(this.#options.home, name);
    return record?.definition === definition && (record.layers.length > 0 || this.#options.tier === "docker");
  }

  /** Keeps the image until it is disposed. One that nobody here built is not ours to keep. */
  async lease({ name, definition }: WantedImage): Promise<AsyncDisposable> {
    if (definition === null) return { [Symbol.asyncDispose]: async () => undefined };
    return await leaseImage(this.#options.home, name);
  }

  /** Builds what is wanted, by the engine on the docker tier and for Dockerfiles of tasks, else from packages. */
  async build(
    wanted: WantedImage,
    how: Omit<BuildContext, "home" | "name"> & { rebuild: boolean },
  ): Promise<ImageRecord> {
    const { name, context, workdir, definition } = wanted;
    const builders = await this.builders();
    const engineOnly = this.#options.tier === "docker";
    const options = { ...how, home: this.#options.home, name, engineOnly };
    if (definition === null) throw new GymError("image_failed", `image ${name} is not one that can be built here`);
    if (context !== null) {
      const why = `image ${name} is made from the task's Dockerfile, and no container engine answers at ${this.#engine.address}`;
      if (!builders.includes("engine"))
        throw new GymError("image_failed", `${why}: start one, or set POLYGYM_DOCKER_HOST`);
      return await buildDockerfile({ ...options, engine: this.#engine, files: context.files, definition, workdir });
    }
    const byEngine = engineOnly || !builders.includes("packages");
    if (byEngine && !builders.includes("engine"))
      throw new GymError(
        "image_failed",
        `image ${name} was not built: ${packageBuildMisfit() ?? "the docker tier builds with an engine"}, and no container engine answers at ${this.#engine.address}`,
      );
    return await buildImage({ ...options, engine: byEngine ? this.#engine : null });
  }

  async builders(): Promise<ImagePresence["builders"]> {
    const packages = packageBuildMisfit() === null && this.#options.tier !== "docker" ? (["packages"] as const) : [];
    return [...packages, ...((await this.#engineAnswers()) ? (["engine"] as const) : [])];
  }

  async presence(): Promise<ImagePresence> {
    const there = (await listRecords(this.#options.home)).map(({ name }) => name);
    const names = [...new Set(["host", ...this.#own.keys(), ...there])].slice(0, MOST_NAMES);
    return { store: this.id, builders: await this.builders(), names };
  }

  async list(): Promise<ImageItem[]> {
    const records = await listRecords(this.#options.home);
    return await Promise.all(
      records.map(async (record) => ({
        name: record.name,
        host: this.host,
        digest: record.digest,
        source: record.source,
        bytes: imageBytes([record]),
        runtimes: Object.fromEntries(Object.entries(record.runtimes).map(([tool, { version }]) => [tool, version])),
        built_at: record.createdAt,
        used_at: Math.round(await usedAt(this.#options.home, record)),
      })),
    );
  }

  /** Of all layers, each counted once. */
  async bytes(): Promise<number> {
    return imageBytes(await listRecords(this.#options.home));
  }

  async collect(bounds: { pinned: ReadonlySet<string>; highBytes: number; lowBytes: number }): Promise<Collected> {
    const engine = (await this.#engineAnswers()) ? this.#engine : null;
    return await collectImages({ ...bounds, home: this.#options.home, engine });
  }

  #engineAnswers(): Promise<boolean> {
    if (this.#answers === null || Date.now() - this.#answers.at > ENGINE_FRESH_MS) {
      const yes = this.#engine
        .call("ask whether it is there", (docker) => docker.ping(), 2_000)
        .then(
          () => true,
          () => false,
        );
      this.#answers = { at: Date.now(), yes };
    }
    return this.#answers.yes;
  }
}

/** Made once, by whoever comes first. */
async function storeId(home: string): Promise<string> {
  const file = join(home, "images", "store-id");
  await mkdir(join(home, "images"), { recursive: true });
  await writeFile(file, randomBytes(8).toString("hex"), { flag: "wx" }).catch(() => undefined); // there already
  return (await readFile(file, "utf8")).trim();
}
