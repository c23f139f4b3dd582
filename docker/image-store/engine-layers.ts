import { access } from "node:fs/promises";
import * as z from "zod";
import { GymError } from "../../core/errors.ts";
import { Digest } from "../../core/ids.ts";
import { type Engine, statusOf } from "../engine.ts";
import { folderBytes } from "./package-build.ts";
import type { ImageRecord } from "./records.ts";
import { SYSTEM_PATH } from "./run-logged.ts";

/** Folders of one image below one mount that the native host takes, less the skeleton. */
const MOST_LAYERS = 40;
const LABEL = "polygym.pin";

const Inspected = z.object({
  Id: Digest,
  Size: z.int(),
  Config: z.object({ Env: z.array(z.string()).nullish() }),
  GraphDriver: z.object({
    Name: z.string(),
    Data: z.object({ LowerDir: z.string().optional(), UpperDir: z.string().optional() }).nullish(),
  }),
});

export interface PinRequest {
  /** What the engine knows it by. */
  readonly reference: string;
  readonly name: string;
  readonly definition: Digest | null;
  /** Another name of the workspace in it; null: none. */
  readonly workdir: string | null;
  /** What is known of layers that other images have, by path. */
  readonly known: ReadonlyMap<string, number>;
  /** True: an image whose layers cannot be mounted here is recorded without them, for the docker tier. */
  readonly engineOnly: boolean;
}

/**
 * The folders of an engine's image, for the light tier to mount read-only, held by a container that is made and never
 * started: while it is there, the engine cannot remove the layers. Only for overlay storage on this machine.
 */
export async function pinEngineImage(engine: Engine, request: PinRequest): Promise<ImageRecord> {
  const { reference, name, definition, workdir } = request;
  const found = Inspected.parse(
    await engine.call(`look for image ${reference}`, (docker) => docker.getImage(reference).inspect()),
  );
  const pin = await pinContainer(engine, found.Id);
  const lowers = await mountable(found, request);
  const layers = await Promise.all(
    lowers.map(async (path) => ({ path, bytes: request.known.get(path) ?? (await folderBytes(path)) })),
  );
  const env = (found.Config.Env ?? []).find((entry) => entry.startsWith("PATH="))?.slice("PATH=".length);
  const head = { name, digest: found.Id, definition, createdAt: Date.now(), source: "engine" } as const;
  return { ...head, layers, path: env ?? SYSTEM_PATH, workdir, runtimes: {}, pin };
}

async function mountable(found: z.infer<typeof Inspected>, request: PinRequest): Promise<string[]> {
  const { Name: driver, Data: data } = found.GraphDriver;
  const why = (text: string): string[] => {
    if (request.engineOnly) return [];
    throw new GymError("image_failed", `the layers of ${request.reference} cannot be mounted: ${text}`);
  };
  if (!driver.startsWith("overlay") || !data?.UpperDir) return why(`its storage is ${driver}; use tier docker`);
  const lowers = [data.UpperDir, ...(data.LowerDir ?? "").split(":").filter((path) => path !== "")];
  if (lowers.length > MOST_LAYERS) return why(`they are ${lowers.length}, at most ${MOST_LAYERS}; flatten it`);
  for (const path of lowers) if (!(await isThere(path))) return why(`${path} is not on this machine`);
  return lowers;
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** Lets the engine remove the image's layers again. Idempotent. */
export async function unpin(engine: Engine, pin: string): Promise<void> {
  try {
    await engine.call("remove a pin", (docker) => docker.getContainer(pin).remove({ force: true, v: true }));
  } catch (error) {
    if (statusOf(error) !== 404) throw error;
  }
}

/** One per image: its name says which, so that a second one is refused by the engine. */
async function pinContainer(engine: Engine, id: Digest): Promise<string> {
  const name = `polygym-pin-${id.slice(7, 23)}`;
  try {
    await engine.call("pin an image", (docker) =>
      docker.createContainer({
        name,
        Image: id,
        Entrypoint: ["/polygym-pin"],
        Cmd: [],
        Labels: { [LABEL]: "1" },
        NetworkDisabled: true,
      }),
    );
  } catch (error) {
    if (statusOf(error) !== 409) throw error;
  }
  return name;
}
