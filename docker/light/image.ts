import type { ImageInfo } from "../../core/sandbox.ts";

/** What the native host needs to know about an image, and what the port tells about it. */
export interface ImageDefinition {
  readonly info: ImageInfo;
  /** Folder with the synthesised root; the host copies it into memory. */
  readonly skeleton: string;
  /** The first is the root (target ""), the others are folders that lie over it, e.g. "/usr". */
  readonly mounts: readonly ImageMount[];
  /** The PATH of every command. */
  readonly path: string;
}

export interface ImageMount {
  readonly target: string;
  /** Host folders, topmost first. Read-only for every sandbox. */
  readonly lowers: readonly string[];
  /** Paths relative to the mount that must not be seen. */
  readonly masks: readonly string[];
}

/** The mount of the image that holds `root`, and the path below it. */
export function locate(image: ImageDefinition, root: string): { mount: number; inside: string } {
  const path = root.replaceAll(/\/+/g, "/").replace(/\/$/, "");
  const mount = image.mounts.findLastIndex(({ target }) => path === target || path.startsWith(`${target}/`));
  const target = image.mounts[Math.max(mount, 0)]?.target ?? "";
  return { mount: Math.max(mount, 0), inside: path.slice(target.length + 1) };
}
