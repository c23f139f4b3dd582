import type { Digest } from "../../core/ids.ts";
import type { BlobStore } from "../../core/store.ts";

/** A place of blobs from which one can be taken out; only those that are known to be nobody's any more are. */
export interface RemovableBlobs extends BlobStore {
  /** Idempotent. */
  removeBlob(digest: Digest): Promise<void>;
}
