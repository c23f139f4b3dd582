import type { ImageInfo } from "../../core/sandbox.ts";
import type { Engine } from "../engine.ts";
import { engineImage, findEngineImage } from "./engine-image.ts";
import type { EngineCheck } from "./engine-needs.ts";
import { hostContainerImage } from "./host-image.ts";
import type { ContainerImage } from "./image.ts";

/** An image of the engine may be built anew; until this has passed, its name stands for what it stood for. */
const FRESH_MS = 10_000;

export interface ImageTableOptions {
  readonly engine: Engine;
  readonly home: string;
  /** Where what is copied out of images lies. */
  readonly folder: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly check: EngineCheck;
}

interface Known {
  readonly since: number;
  readonly image: Promise<ContainerImage>;
}

/** Images by name, each looked up once. */
export class ImageTable {
  readonly #options: ImageTableOptions;
  readonly #known = new Map<string, Known>();
  /** Read once each, however many names it has and however often they are looked up. */
  readonly #byDigest = new Map<string, Promise<ContainerImage>>();
  readonly #runtimes = new Map<string, Promise<ImageInfo["runtimes"]>>();

  constructor(options: ImageTableOptions) {
    this.#options = options;
  }

  /** `workdir`: as {@link OpenRequest.workdir}. */
  async get(name: string, workdir: string | null = null): Promise<ContainerImage> {
    const key = JSON.stringify([name, workdir]);
    const known = this.#known.get(key);
    if (known && (name === "host" || performance.now() - known.since < FRESH_MS)) return await known.image;
    const image = this.#look(name, workdir);
    this.#known.set(key, { since: performance.now(), image });
    image.catch(() => this.#known.delete(key));
    return await image;
  }

  /** The image that a frozen state was made of, even if its name means another by now. */
  async ofSnapshot(name: string, digest: string): Promise<ContainerImage> {
    const known = this.#byDigest.get(digest);
    return known ? named(await known, name) : await this.get(name);
  }

  /** What `probe` finds in the image, asked once. */
  async runtimes(image: ContainerImage, probe: () => Promise<ImageInfo["runtimes"]>): Promise<ImageInfo["runtimes"]> {
    const { digest, runtimes } = image.info;
    if (Object.keys(runtimes).length > 0) return runtimes;
    const asked = this.#runtimes.get(digest) ?? probe();
    this.#runtimes.set(digest, asked);
    asked.catch(() => this.#runtimes.delete(digest));
    return await asked;
  }

  async #look(name: string, workdir: string | null): Promise<ContainerImage> {
    const { engine, home, folder, labels, check } = this.#options;
    await check.traits();
    const place = { engine, folder, labels };
    if (name === "host") {
      const image = await hostContainerImage({ ...place, home, workdir });
      return await this.#once(image.info.digest, async () => image);
    }
    const id = await findEngineImage(engine, name, workdir);
    return named(await this.#once(id, () => engineImage({ ...place, id, name })), name);
  }

  #once(digest: string, read: () => Promise<ContainerImage>): Promise<ContainerImage> {
    const image = this.#byDigest.get(digest) ?? read();
    this.#byDigest.set(digest, image);
    image.catch(() => this.#byDigest.delete(digest));
    return image;
  }
}

/** Of several names, the one that was asked for. */
function named(image: ContainerImage, name: string): ContainerImage {
  return image.info.image === name ? image : { ...image, info: { ...image.info, image: name } };
}
