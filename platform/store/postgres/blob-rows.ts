import { GymError } from "../../../core/errors.ts";
import { type Digest, sha256 } from "../../../core/ids.ts";
import type { RemovableBlobs } from "../removable-blobs.ts";
import type { Connection } from "./connection.ts";

/** Larger ones go beside the database where there is such a place; without it they go into it in parts of this size. */
const PART_BYTES = 1024 * 1024;

export interface BlobRowsOptions {
  readonly connection: Connection;
  /** For large ones, reached by every host of the installation. Null: there is none. */
  readonly large: RemovableBlobs | null;
}

/** Blobs as rows. One is there once its line in `blobs` is, which is written last. */
export function blobRows({ connection, large }: BlobRowsOptions): RemovableBlobs {
  return {
    putBlob: async (data) => {
      if (large !== null && data.byteLength > PART_BYTES) return large.putBlob(data);
      const digest = sha256(data);
      const [known] = await connection.rows("SELECT 1 FROM blobs WHERE digest = $1", [digest]);
      if (known === undefined) await putParts(connection, digest, data);
      return digest;
    },
    blob: async (digest) => {
      const [row] = await connection.rows("SELECT parts FROM blobs WHERE digest = $1", [digest]);
      if (row === undefined) return large === null ? null : large.blob(digest);
      const data = await readParts(connection, digest, Number(row.parts));
      if (sha256(data) !== digest)
        throw new GymError("store_failed", `blob ${digest} does not have the content of its name`);
      return data;
    },
    removeBlob: async (digest) => {
      await connection.transaction(async (run) => {
        await run({ text: "DELETE FROM blobs WHERE digest = $1", values: [digest] });
        await run({ text: "DELETE FROM blob_parts WHERE digest = $1", values: [digest] });
      });
      await large?.removeBlob(digest);
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
