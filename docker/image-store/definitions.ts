import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { GymError } from "../../core/errors.ts";
import { canonicalJson, type Digest, sha256 } from "../../core/ids.ts";

const folder = join(import.meta.dirname, "../images");
/** Changes when the way of building does. */
const METHOD = 2;

const Catalog = z.object({
  release: z.string().regex(/^[a-z]+$/),
  images: z.array(
    z.object({
      name: z.string().regex(/^[a-z][a-z0-9-]{0,30}$/),
      from: z.string().nullable(),
      description: z.string(),
    }),
  ),
});

const PackageName = z.string().regex(/^[a-z0-9][a-z0-9.+-]+$/);

/** One of our own images: a Dockerfile and a list of packages in docker/images/<name>. */
export interface ImageSource {
  readonly name: string;
  readonly description: string;
  /** The image below it; null for the lowest. */
  readonly from: string | null;
  /** Of the distribution, e.g. "bookworm". */
  readonly release: string;
  /** Its own packages, without those of the images below. */
  readonly packages: readonly string[];
  /** Text of the Dockerfile. */
  readonly dockerfile: string;
  /** Holds both. */
  readonly folder: string;
}

export async function imageSources(): Promise<ImageSource[]> {
  const { release, images } = Catalog.parse(JSON.parse(await readFile(join(folder, "catalog.json"), "utf8")));
  return await Promise.all(
    images.map(async (image) => {
      const own = join(folder, image.name);
      const lines = (await readFile(join(own, "packages.txt"), "utf8")).split("\n");
      const packages = lines.map((line) => line.trim()).filter((line) => line !== "" && !line.startsWith("#"));
      const dockerfile = await readFile(join(own, "Dockerfile"), "utf8");
      return { ...image, release, packages: z.array(PackageName).parse(packages), dockerfile, folder: own };
    }),
  );
}

/** The image and those below it, lowest first. */
export async function imageChain(name: string): Promise<ImageSource[]> {
  const sources = await imageSources();
  const chain: ImageSource[] = [];
  for (let at: string | null = name; at !== null; ) {
    const source = sources.find((one) => one.name === at);
    if (!source || chain.includes(source))
      throw new GymError(
        "sandbox_unavailable",
        `there is no image ${at}: ${sources.map((one) => one.name).join(", ")}`,
      );
    chain.unshift(source);
    at = source.from;
  }
  return chain;
}

/** Of what an image is made from, those below it included: the same digest needs no new build. */
export function definitionOfChain(chain: readonly ImageSource[]): Digest {
  return sha256(
    canonicalJson([
      METHOD,
      chain.map(({ name, release, packages, dockerfile }) => [name, release, packages, dockerfile]),
    ]),
  );
}
