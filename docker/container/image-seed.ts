import { buffer } from "node:stream/consumers";
import { extract, type Header } from "tar-stream";
import type { ArchiveWriter } from "./archive-file.ts";
import { type ArchiveEntry, chunkPayload, entryPayload, MODE_OF_TYPE } from "./archive-format.ts";

const PIECE = 64 * 1024;
/** Of one file that is read whole, such as /etc/passwd. */
const MOST_SMALL = 1024 * 1024;

/**
 * Turns the engine's tar of a folder (its names begin with the folder's own) into entries of an archive below `root`.
 * Hard links, devices and names that leave the folder are left out. The data is never unpacked on this machine.
 */
export async function appendTar(stream: NodeJS.ReadableStream, root: string, writer: ArchiveWriter): Promise<void> {
  const entries = extract();
  stream.pipe(entries);
  stream.once("error", (error: Error) => entries.destroy(error));
  for await (const entry of entries) {
    const path = placeOf(entry.header.name, root);
    const found = path === null ? null : describe(entry.header, path);
    if (!found) {
      entry.resume();
      continue;
    }
    writer.frame("N", entryPayload(found).frame(0, "N").subarray(9));
    let offset = 0;
    for await (const chunk of entry as AsyncIterable<Buffer>) // tar-stream's chunks are buffers
      for (let at = 0; at < chunk.length; at += PIECE) {
        const piece = chunk.subarray(at, at + PIECE);
        writer.frame("D", chunkPayload(offset, piece).frame(0, "D").subarray(9));
        offset += piece.length;
      }
  }
}

/** The content of the first file in an engine's tar; null when it is too large or no file. */
export async function smallFile(stream: NodeJS.ReadableStream): Promise<string | null> {
  const entries = extract();
  stream.pipe(entries);
  stream.once("error", (error: Error) => entries.destroy(error));
  let content: string | null = null;
  for await (const entry of entries) {
    const wanted = content === null && entry.header.type === "file" && (entry.header.size ?? 0) <= MOST_SMALL;
    if (wanted) content = (await buffer(entry)).toString();
    else entry.resume();
  }
  return content;
}

function placeOf(name: string, root: string): string | null {
  const parts = name.replace(/\/+$/, "").split("/").slice(1);
  if (parts.some((part) => part === "" || part === "." || part === "..")) return null;
  return Buffer.from([root, ...parts].join("/")).toString("latin1");
}

function describe(header: Header, path: string): ArchiveEntry | null {
  const { type } = header;
  if (type !== "file" && type !== "directory" && type !== "symlink") return null;
  const mode = MODE_OF_TYPE[type] | ((header.mode ?? 0o644) & 0o7777);
  const mtime = BigInt(Math.max(0, header.mtime?.getTime() ?? 0)) * 1_000_000n;
  const target = Buffer.from(type === "symlink" ? (header.linkname ?? "") : "");
  return { path, mode, size: type === "file" ? (header.size ?? 0) : 0, mtime, links: 1, target };
}
