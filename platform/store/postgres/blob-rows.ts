import { GymError } from "../../../core/errors.ts";
import { type Digest, sha256 } from "../../../core/ids.ts";
import type { BlobStore } from "../../../core/store.ts";
import { blobFiles } from "../blob-files.ts";
import type { Connection } from "./connection.ts";

/** Larger ones go to the shared folder where there is one; without it they go to the database in parts of this size. */
const PART_BYTES = 1024 * 1024;

export interface BlobRowsOptions {
  readonly connection: Connection;
  /** A folder that every host of the installation sees. Null: there is none. */
  readonly sharedDir: string | null;
}

/** Blobs as rows. One is there once its line in `blobs` is, which is written last. */
export function blobRows({ connection, sharedDir }: BlobRowsOptions): BlobStore {
  const files = sharedDir === null ? null : blobFiles(sharedDir);
  return {
    putBlob: async (data) => {
      if (files !== null && data.byteLength > PART_BYTES) return files.putBlob(data);
      const digest = sha256(data);
      const [known] = await connection.rows("SELECT 1 FROM blobs WHERE digest = $1", [digest]);
      if (known === undefined) await putParts(connection, digest, data);
      return digest;
    },
    blob: async (digest) => {
      const [row] = await connection.rows("SELECT parts FROM blobs WHERE digest = $1", [digest]);
      if (row === undefined) return files === null ? null : files.blob(digest);
      const data = await readParts(connection, digest, Number(row.parts));
      if (sha256(data) !== digest)
        throw new GymError("store_failed", `blob ${digest} does not have the content of its name`);
      return data;
    },
  };
}

async function putParts(connection: Connection, digest: Digest, data: Uint8Array): Promise<void> {
  const parts = Math.ceil(data.byteLength / PART_BYTES);
  for (let part = 0; part < parts; part++) {
    const from = part * PART_BYTES;
    const slice = Buffer.from(data.buffer, data.byteOffset + from, Math.min(PART_BYTES, data.byteLength - from));
    await connection.rows("INSERT INTO blob_parts (digest, part, data) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", [
      digest,
      part,
      slice,
    ]);
  }
  await connection.rows("INSERT INTO blobs (digest, parts) VALUES ($1, $2) ON CONFLICT DO NOTHING", [digest, parts]);
}

async function readParts(connection: Connection, digest: Digest, parts: number): Promise<Buffer> {
  const read: Buffer[] = [];
  for (let part = 0; part < parts; part++) {
    const [row] = await connection.rows("SELECT data FROM blob_parts WHERE digest = $1 AND part = $2", [digest, part]);
    if (!Buffer.isBuffer(row?.data)) throw new GymError("store_failed", `part ${part} of blob ${digest} is missing`);
    read.push(row.data);
  }
  return Buffer.concat(read);
}
