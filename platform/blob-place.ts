import { resolve } from "node:path";

/** Where large blobs of a PostgreSQL store are. */
export type BlobPlace =
  /** That every host of the installation sees. */
  | { readonly kind: "folder"; readonly dir: string }
  | {
      readonly kind: "bucket";
      /** With the bucket as the last part of its path. */
      readonly endpoint: string;
      readonly region: string;
      /** Before the name of every object; empty or ending with `/`. */
      readonly prefix: string;
      readonly accessKey: string;
      readonly secretKey: string;
    };

export interface BucketSettings {
  readonly endpoint: string | null;
  readonly region: string;
  readonly accessKey: string | null;
  readonly secretKey: string | null;
}

const BUCKET_URL = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/;

/** Reads the setting `blobs`: a path, or `s3://bucket/prefix`. Throws an Error that says what is missing. */
export function blobPlace(blobs: string, { endpoint, region, accessKey, secretKey }: BucketSettings): BlobPlace {
  if (!blobs.startsWith("s3:")) return { kind: "folder", dir: resolve(blobs) };
  const [, bucket, path = ""] = BUCKET_URL.exec(blobs) ?? [];
  if (bucket === undefined) throw new Error(`must be a folder or s3://bucket/prefix, got ${blobs}`);
  if (accessKey === null || secretKey === null)
    throw new Error(`${blobs} needs POLYGYM_S3_ACCESS_KEY and POLYGYM_S3_SECRET_KEY`);
  const base = (endpoint ?? `https://s3.${region}.amazonaws.com`).replace(/\/+$/, "");
  const folder = path.replace(/^\/+|\/+$/g, "");
  const prefix = folder === "" ? "" : `${folder}/`;
  return { kind: "bucket", endpoint: `${base}/${bucket}`, region, prefix, accessKey, secretKey };
}
