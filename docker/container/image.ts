import type { ImageInfo } from "../../core/sandbox.ts";
import type { ArchiveFile } from "./archive-file.ts";
import type { HostFolders } from "./folder-mounts.ts";

/** An image as containers are made of it. */
export interface ContainerImage {
  readonly info: ImageInfo;
  /** What the engine is asked for: an id, never a tag that could move. */
  readonly reference: string;
  /** Base environment: PATH and what the image sets. */
  readonly env: Readonly<Record<string, string>>;
  /** What its containers see of this machine; null when nothing. */
  readonly host: HostFolders | null;
  /** Folders that must not be seen. */
  readonly hidden: readonly string[];
  /** Folders that the image declares as volumes. */
  readonly volumes: readonly string[];
  /** What the image has in the folders that can be written; null when nothing. */
  readonly seed: ArchiveFile | null;
  /** /etc/passwd and /etc/group of the image; null where it has none. */
  readonly accounts: { readonly passwd: string; readonly group: string } | null;
}
