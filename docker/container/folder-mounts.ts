import type Docker from "dockerode";
import type { Engine } from "../engine.ts";
import { seesFile } from "./file-probe.ts";

/** A folder of this machine that containers see, read-only. */
export interface HostFolder {
  readonly source: string;
  readonly target: string;
}

/**
 * How containers see folders of this machine. "own": each through an overlay of its own, so that locks and change notices
 * (flock, inotify) end at the container. "shared": bind mounts, whose files every container can lock for all.
 */
export type FolderMounts = "own" | "shared";

/** What containers of an image see of this machine. */
export interface HostFolders {
  readonly mounts: FolderMounts;
  readonly folders: readonly HostFolder[];
  /** An empty folder: an overlay without a place to write needs two. */
  readonly empty: string;
}

/** Volumes of the engine's own driver, made with the container and removed with it. */
export function overlayVolumes(
  { mounts, folders, empty }: HostFolders,
  labels: Record<string, string>,
): Docker.MountConfig {
  if (mounts === "shared") return [];
  return folders.map(({ source, target }) => ({
    Type: "volume",
    Source: "", // without a name it goes with its container
    Target: target,
    VolumeOptions: {
      NoCopy: true,
      Labels: labels,
      DriverConfig: {
        Name: "local",
        Options: { type: "overlay", device: "overlay", o: `ro,nosuid,nodev,lowerdir=${source}:${empty}` },
      },
    },
  }));
}

export function bindMounts({ mounts, folders }: HostFolders): string[] {
  if (mounts === "own") return [];
  return folders.map(({ source, target }) => `${source}:${target}:ro`);
}

export interface FolderProbe {
  readonly image: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly host: Omit<HostFolders, "mounts">;
  /** A file in one of the folders, as a container has to see it. */
  readonly file: string;
}

/**
 * Whether the engine gives each container overlays of its own. One of another make may know no such volumes, and one in a
 * container may not be allowed to mount them.
 */
export async function probeFolderMounts(engine: Engine, { host, ...probe }: FolderProbe): Promise<FolderMounts> {
  const mounts = (labels: Record<string, string>) => ({ Mounts: overlayVolumes({ ...host, mounts: "own" }, labels) });
  return (await seesFile({ engine, mounts, ...probe })) ? "own" : "shared";
}
