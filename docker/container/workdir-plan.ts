import * as z from "zod";
import type { GymError } from "../../core/errors.ts";
import { Digest } from "../../core/ids.ts";
import { WORKSPACE } from "../../core/sandbox.ts";
import { imageName, isWithin, otherName, workdirMisfit } from "../../core/workdir.ts";
import type { ImageFiles } from "./image-files.ts";

/** What decides whether a folder of an image can be its workspace, and which of its files belong there. */

/** Says of which folder an image was made so; what was not is looked at when it is asked for. */
const LABEL = "polygym.workdir";

export const WorkdirSource = z.object({
  Id: Digest,
  Config: z.object({
    Env: z.array(z.string()).nullish(),
    Labels: z.record(z.string(), z.string()).nullish(),
    Volumes: z.record(z.string(), z.unknown()).nullish(),
    WorkingDir: z.string().nullish(),
  }),
});
/** What the engine says of an image. */
export type WorkdirSource = z.infer<typeof WorkdirSource>;

export interface WorkdirMove {
  readonly folder: string;
  /** Where the image's files are that belong there; null: nowhere. */
  readonly from: string | null;
}

/** Whether the image is as it should be: it and the task mean the same folder, which is none or is a link already. */
export function isMade({ Config: config }: WorkdirSource, workdir: string | null): boolean {
  const own = imageName(config.WorkingDir);
  const wanted = workdir === null ? own : otherName(workdir);
  return wanted === own && (own === null || config.Labels?.[LABEL] === own);
}

/** Lines for the engine that make an image say so of itself. */
export function changesFor(move: WorkdirMove | null): string[] {
  return move === null ? [`WORKDIR ${WORKSPACE}`] : [`WORKDIR ${move.folder}`, `LABEL ${LABEL}=${move.folder}`];
}

/** What is asked of an image. */
export interface WorkdirWish {
  readonly folder: string;
  /** Nobody but the image asks for it: where it has its files in the workspace, those count, and the folder gives no other name. */
  readonly isOwn: boolean;
  /** What is thrown where the folder cannot be the workspace. */
  refusal(why: string): GymError;
}

/** Null: the folder gives the workspace no other name. */
export async function planWorkdir(
  files: ImageFiles,
  { Config: config }: WorkdirSource,
  { folder, isOwn, refusal }: WorkdirWish,
): Promise<WorkdirMove | null> {
  const isFilled = await files.hasEntries(WORKSPACE);
  const real = workdirMisfit(folder) === null ? await realPath(files, folder) : folder;
  if (isWithin(WORKSPACE, real)) return null;
  const misfit = workdirMisfit(folder) ?? workdirMisfit(real) ?? configMisfit(config, folder);
  if (misfit !== null) {
    if (isOwn && isFilled) return null;
    throw refusal(misfit);
  }
  const place = await files.placeOf(folder);
  if (place === null || place.target === WORKSPACE) return { folder, from: null };
  if (isWithin(WORKSPACE, place.target)) return null;
  if (place.type === "other") throw refusal("it is a file in the image");
  const from = place.target || folder;
  if (!(await files.hasEntries(from))) return { folder, from: null };
  const volume = volumeAround(config, WORKSPACE);
  // One below the workspace is there as an empty folder, which is no file of the task's.
  if (isFilled && isOwn && (volume === null || isWithin(volume, WORKSPACE))) return null;
  if (volume !== null) throw refusal(`${volumeMisfit(volume)}, or the files that belong there would get lost`);
  if (isFilled) throw refusal(`the image has files both there and in ${WORKSPACE}: have all in one of the two`);
  return { folder, from };
}

/** Where a folder lies when one above it is a link; the folder itself may be one. */
async function realPath(files: ImageFiles, folder: string): Promise<string> {
  const parts = folder.split("/");
  for (let end = parts.length - 1; end > 1; end--) {
    const above = await files.placeOf(parts.slice(0, end).join("/"));
    if (above?.type === "link") return [above.target.replace(/\/$/, ""), ...parts.slice(end)].join("/");
  }
  return folder;
}

/** What only the image can say. */
function configMisfit(config: WorkdirSource["Config"], folder: string): string | null {
  const home = config.Env?.find((entry) => entry.startsWith("HOME="))?.slice("HOME=".length);
  if (home !== undefined && isWithin(folder, home))
    return `the image's HOME is ${home}, and an attempt may not bring files that set programs up: use another folder`;
  const volume = volumeAround(config, folder);
  return volume === null ? null : volumeMisfit(volume);
}

/** A volume at, above or below a folder. */
function volumeAround({ Volumes: volumes }: WorkdirSource["Config"], folder: string): string | null {
  const paths = Object.keys(volumes ?? {}).map((path) => path.replace(/(?<=.)\/+$/, ""));
  return paths.find((path) => isWithin(folder, path) || isWithin(path, folder)) ?? null;
}

const volumeMisfit = (path: string): string =>
  `the image declares a volume at ${path}: take VOLUME out of its Dockerfile`;
