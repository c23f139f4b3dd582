import { setTimeout as delay } from "node:timers/promises";
import { S3mini, S3ServiceError } from "s3mini";
import { GymError } from "../../core/errors.ts";
import { type Digest, sha256 } from "../../core/ids.ts";
import type { BlobPlace } from "../blob-place.ts";
import type { RemovableBlobs } from "./removable-blobs.ts";

/** One request; 256 MiB at 10 MB/s fit. */
const REQUEST_MS = 30_000;
/** A call is tried again for so long while the service is away or busy. */
const PATIENCE_MS = 60_000;
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 2_000;
const MEDIA_TYPE = "application/octet-stream";

export interface BlobObjectsOptions {
  /** (Default: 60000) */
  readonly patienceMs?: number | undefined;
}

/** Blobs as objects of an S3-compatible service, named by their digest. An object is there whole or not at all. */
export function blobObjects(
  place: Extract<BlobPlace, { kind: "bucket" }>,
  { patienceMs = PATIENCE_MS }: BlobObjectsOptions = {},
): RemovableBlobs {
  const bucket = new S3mini({
    accessKeyId: place.accessKey,
    secretAccessKey: place.secretKey,
    endpoint: place.endpoint,
    region: place.region,
    requestAbortTimeout: REQUEST_MS,
  });
  const nameOf = (digest: Digest) => place.prefix + digest.slice("sha256:".length);
  return {
    putBlob: async (data) => {
      const digest = sha256(data);
      const name = nameOf(digest);
      await patiently(patienceMs, async () => {
        if ((await bucket.objectExists(name)) !== true) await bucket.putObject(name, Buffer.from(data), MEDIA_TYPE);
      });
      return digest;
    },
    blob: async (digest) => {
      const data = await patiently(patienceMs, () => bucket.getObjectArrayBuffer(nameOf(digest)));
      if (data === null) return null;
      const bytes = Buffer.from(data);
      if (sha256(bytes) !== digest)
        throw new GymError("store_failed", `object ${digest} does not have the content of its name`);
      return bytes;
    },
    removeBlob: async (digest) => {
      await patiently(patienceMs, () => bucket.deleteObject(nameOf(digest)));
    },
  };
}

async function patiently<T>(patienceMs: number, work: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + patienceMs;
  for (let pauseMs = RETRY_MIN_MS; ; pauseMs = Math.min(pauseMs * 2, RETRY_MAX_MS)) {
    try {
      return await work();
    } catch (error) {
      if (!isPassing(error) || performance.now() > deadline) throw failure(error);
      await delay(pauseMs * (0.5 + Math.random()));
    }
  }
}

/** Not what the service refused: it cannot be reached, is busy or is broken for the moment. */
const isPassing = (error: unknown): boolean =>
  !(error instanceof S3ServiceError) || error.status >= 500 || error.status === 429;

function failure(error: unknown): GymError {
  const message = error instanceof Error ? error.message : String(error);
  return new GymError("store_failed", `the blobs' bucket failed: ${message}`, {
    retryable: isPassing(error),
    cause: error,
  });
}
