import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { gunzipSync, gzipSync } from "node:zlib";
import { extract, pack } from "tar-stream";
import { GymError } from "../../core/errors.ts";
import type { FileTree, TaskFile } from "../../core/task.ts";
import { isSafePath, sortedTree, taskInvalid } from "./folder-tree.ts";

const MAX_UNPACKED_BYTES = 512 * 1024 * 1024;
const MAX_ENTRIES = 100_000;

/** A tar.gz of the files; the same files give the same bytes. */
export async function packTree(tree: FileTree): Promise<Uint8Array> {
  const archive = pack();
  const whole = buffer(archive);
  for (const [name, { data, mode }] of sortedTree(tree))
    archive.entry({ name, mode, mtime: new Date(0) }, Buffer.from(data));
  archive.finalize();
  return gzipSync(await whole);
}

/** Files of the archive by path. Links, devices and paths that leave the archive refuse the whole upload. */
export async function untar(upload: Uint8Array): Promise<FileTree> {
  const files: [string, TaskFile][] = [];
  let bytes = 0;
  const archive = extract();
  Readable.from([unzip(upload)]).pipe(archive);
  try {
    for await (const entry of archive) {
      const { name, type, mode } = entry.header;
      const path = name.replace(/^(\.\/)+/, "").replace(/\/$/, "");
      if (path === "" || path === ".") {
        entry.resume();
        continue;
      }
      if (!isSafePath(path)) throw taskInvalid("folder import", `${JSON.stringify(name)} leaves the archive`);
      if (type !== "file" && type !== "contiguous-file" && type !== "directory")
        throw taskInvalid("folder import", `${name} is a ${type}; only files and folders may be in a task`);
      const chunks: Uint8Array[] = [];
      for await (const chunk of entry) {
        if (!(chunk instanceof Uint8Array)) continue; // the stream's type leaves its chunks open; they are bytes
        bytes += chunk.length;
        if (bytes > MAX_UNPACKED_BYTES)
          throw taskInvalid("folder import", `more than ${MAX_UNPACKED_BYTES} bytes unpacked`);
        chunks.push(chunk);
      }
      if (type !== "directory") files.push([path, { data: Buffer.concat(chunks), mode: mode & 0o100 ? 0o755 : 0o644 }]);
      if (files.length > MAX_ENTRIES) throw taskInvalid("folder import", `more than ${MAX_ENTRIES} files`);
    }
  } catch (error) {
    throw error instanceof GymError ? error : taskInvalid("folder import", "the upload is not a tar archive", error);
  }
  return sortedTree(files);
}

function unzip(upload: Uint8Array): Uint8Array {
  if (upload[0] !== 0x1f || upload[1] !== 0x8b) return upload;
  try {
    return gunzipSync(upload, { maxOutputLength: MAX_UNPACKED_BYTES });
  } catch (error) {
    throw taskInvalid("folder import", `the upload is no gzip archive of at most ${MAX_UNPACKED_BYTES} bytes`, error);
  }
}
