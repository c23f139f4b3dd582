import type { Store } from "../../core/store.ts";
import type { BlobPlace } from "../blob-place.ts";
import { steadyNow } from "../clock.ts";
import type { Logger } from "../log.ts";
import { openEmbeddedStore } from "./embedded.ts";
import { openPostgresStore } from "./postgres/open.ts";

export interface StoreOptions {
  /** `postgres://…`; null: the embedded store in `dir`. (Default: null) */
  readonly url?: string | null;
  /** Folder of the embedded store; made when it is missing. */
  readonly dir: string;
  /** Where every host finds large blobs of a PostgreSQL store. (Default: in the database) */
  readonly blobs?: BlobPlace | null;
  /** Names what this process writes; no other process may have it. */
  readonly processId: string;
  readonly log: Logger;
  /** (Default: steadyNow) */
  readonly now?: () => number;
}

/** The store of this installation: files of one machine, or a PostgreSQL database that many hosts share. */
export function openStore({ url = null, blobs = null, dir, ...rest }: StoreOptions): Promise<Store> {
  const options = { ...rest, now: rest.now ?? steadyNow };
  return url === null ? openEmbeddedStore({ ...options, dir }) : openPostgresStore({ ...options, url, blobs });
}
