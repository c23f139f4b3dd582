import { access } from "node:fs/promises";
import * as z from "zod";
import { GymError } from "../../core/errors.ts";
import { Digest } from "../../core/ids.ts";
import { type Engine, statusOf } from "../engine.ts";
import type { ImageRecord } from "./records.ts";

/** Folders of one image below one mount that the native host takes, less the skeleton. */
const MOST_LAYERS = 40;
const LABEL = "polygym.pin";

const Inspected = z.object({
  Id: Digest,
  Config: z.object({ Env: z.array(z.string()).nullish() }),
  GraphDriver: z.object({
    Name: z.string(),
    Data: z.object({ LowerDir: z.string().optional(), UpperDir: z.string().optional() }).nullish(),
  }),
});

/**
 * The folders of an engine's image, for the light tier to mount read-only, held by a container that is made and never
 * started: while it is there, the engine cannot remove the layers. Only for overlay storage on this machine.
 */
export async function pinEngineImage(engine: Engine, reference: string, name: string): Promise<ImageRecord> {
  const found = Inspected.parse(
    await engine.call(`look for image ${reference}`, (docker) => docker.getImage(reference).inspect()),
  );
  const { Name: driver, Data: data } = found.GraphDriver;
  if (!engine.local || !driver.startsWith("overlay") || !data?.UpperDir)
    throw new GymError(
      "sandbox_unavailable",
      `the layers of ${reference} cannot be mounted (storage ${driver}): use tier docker`,
    );
  const lowers = [data.UpperDir, ...(data.LowerDir ?? "").split(":").filter((path) => path !== "")];
  if (lowers.length > MOST_LAYERS)
    throw new GymError(
      "sandbox_unavailable",
      `${reference} has ${lowers.length} layers, at most ${MOST_LAYERS} can be mounted: flatten it`,
    );
  const pin = await pinContainer(engine, found.Id);
  for (const path of lowers)
    await access(path).catch(() => {
      throw new GymError("sandbox_unavailable", `layer ${path} of ${reference} is not on this machine`);
    });
  const env = (found.Config.Env ?? []).find((entry) => entry.startsWith("PATH="))?.slice("PATH=".length);
  const path = env ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  return { name, digest: found.Id, createdAt: Date.now(), source: "engine", lowers, path, runtimes: {}, pin };
}

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
