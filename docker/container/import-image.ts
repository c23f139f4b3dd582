import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import type { Pack } from "tar-stream";
import * as z from "zod";
import { GymError } from "../../core/errors.ts";
import { Digest } from "../../core/ids.ts";
import type { Engine } from "../engine.ts";

/** The last line of an import names the image. */
const Imported = z.object({ status: Digest });

export interface ImageName {
  readonly repo: string;
  readonly tag: string;
}

/** Makes an image of a file tree and names it. Answers its id. The archive's writer need not have ended. */
export async function importImage(engine: Engine, archive: Pack, name: ImageName): Promise<Digest> {
  const said = await engine.call(`import image ${name.repo}`, async (docker) =>
    text(await docker.importImage(Readable.from(archive), { ...name })),
  );
  const last = said.trim().split("\n").at(-1) ?? "";
  const parsed = Imported.safeParse(parseOrNull(last));
  if (!parsed.success) throw new GymError("sandbox_unavailable", `the engine imported no image ${name.repo}: ${last}`);
  const id = parsed.data.status;
  // Podman's answer to this call forgets the name.
  await engine.call(`name image ${name.repo}`, (docker) => docker.getImage(id).tag({ ...name }));
  return id;
}

function parseOrNull(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}
