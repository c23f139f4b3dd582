import { statfs } from "node:fs/promises";
import * as z from "zod";
import { GymError } from "../../core/errors.ts";
import type { Engine } from "../engine.ts";

const LOOK_EVERY_MS = 1_000;

const Info = z.object({ DockerRootDir: z.string().startsWith("/") });

/** Ends a build that fills the engine's disk, which no option of a build bounds. */
export interface DiskWatch extends AsyncDisposable {
  /** Aborted, with an `image_failed`, when so many bytes were written since the watch began, by anybody. */
  readonly full: AbortSignal;
}

export interface WatchedBuild {
  /** Of the image, for messages. */
  readonly name: string;
  readonly mostBytes: number;
}

/** An engine elsewhere is not watched: only the size of the finished image is looked at then. */
export async function watchDisk(engine: Engine, { name, mostBytes }: WatchedBuild): Promise<DiskWatch> {
  const controller = new AbortController();
  const folder = engine.transport === "socket" ? await dataFolder(engine) : null;
  const before = folder === null ? null : await freeBytes(folder);
  if (folder === null || before === null)
    return { full: controller.signal, [Symbol.asyncDispose]: async () => undefined };
  const most = Math.floor(Math.min(mostBytes, before * MOST_SHARE));
  const failure = new GymError("image_failed", `image ${name} was not built: it wrote more than ${most} bytes`);
  const timer = setInterval(() => {
    freeBytes(folder)
      .then((free) => {
        if (free !== null && before - free > most) controller.abort(failure);
      })
      .catch(() => undefined); // looked at again in a second
  }, LOOK_EVERY_MS);
  return { full: controller.signal, [Symbol.asyncDispose]: async () => clearInterval(timer) };
}

/** Others need room on that disk, too. */
const MOST_SHARE = 0.8;

async function dataFolder(engine: Engine): Promise<string | null> {
  const info = Info.safeParse(await engine.call("ask about the engine", (docker) => docker.info()));
  return info.success ? info.data.DockerRootDir : null;
}

async function freeBytes(folder: string): Promise<number | null> {
  return await statfs(folder).then(
    ({ bavail, bsize }) => bavail * bsize,
    () => null,
  );
}
