import { randomBytes } from "node:crypto";
import { access, link, mkdir, open, readFile, rename, rm, unlink } from "node:fs/promises";
import { join } from "node:path";
import { GymError } from "../../core/errors.ts";
import { type Digest, sha256 } from "../../core/ids.ts";
import type { RemovableBlobs } from "./removable-blobs.ts";
import { syncFolder } from "./segment-writer.ts";

/** Blobs as files named by their digest. A file is there whole or not at all. */
export function blobFiles(dir: string): RemovableBlobs {
  const pathOf = (digest: Digest) => join(dir, digest.slice("sha256:".length));
  return {
    putBlob: async (data) => {
      const digest = sha256(data);
      const path = pathOf(digest);
      if (await exists(path)) return digest;
      return attempted(async () => {
        await mkdir(dir, { recursive: true, mode: 0o700 });
        await placeFile(dir, path, data, rename);
        return digest;
      });
    },
    blob: async (digest) => {
      const data = await attempted(() => readIfThere(pathOf(digest)));
      if (data !== null && sha256(data) !== digest)
        throw new GymError("store_failed", `blob ${digest} does not have the content of its name`);
      return data;
    },
    removeBlob: (digest) => attempted(() => rm(pathOf(digest), { force: true })),
  };
}

/** The installation's secret, read once: every verdict's seed asks for it. */
export function secretOf(dir: string): () => Promise<string> {
  let known: Promise<string> | null = null;
  return () => {
    known ??= installationSecret(dir).catch((error: unknown) => {
      known = null;
      throw error;
    });
    return known;
  };
}

/** 256 bits in hex; made once for the installation, by whichever process comes first. */
export async function installationSecret(dir: string): Promise<string> {
  const path = join(dir, "secret");
  return attempted(async () => {
    const known = await readIfThere(path);
    if (known !== null) return known.toString("utf8");
    await placeFile(dir, path, Buffer.from(randomBytes(32).toString("hex")), linkNew);
    return (await readFile(path)).toString("utf8");
  });
}

/** Writes beside, syncs, and gives the file its name. */
async function placeFile(
  dir: string,
  path: string,
  data: Uint8Array,
  name: (from: string, to: string) => Promise<void>,
): Promise<void> {
  const temporary = join(dir, `.${process.pid}-${randomBytes(6).toString("hex")}`);
  try {
    const file = await open(temporary, "wx", 0o600);
    try {
      await file.writeFile(data);
      await file.datasync();
    } finally {
      await file.close();
    }
    await name(temporary, path);
    await syncFolder(dir);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
}

/** The first to give the name wins. */
async function linkNew(from: string, to: string): Promise<void> {
  await link(from, to).catch((error: unknown) => {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  });
  await unlink(from);
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

async function readIfThere(path: string): Promise<Buffer | null> {
  try {
    return await readFile(path);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}

async function attempted<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new GymError("store_failed", `a file of the store failed: ${message}`, { cause: error });
  }
}
