import { buffer } from "node:stream/consumers";
import type { Header } from "tar-stream";
import type { ArchiveWriter } from "./archive-file.ts";
import { type ArchiveEntry, chunkPayload, entryPayload, MODE_OF_TYPE, typeOf } from "./archive-format.ts";
import { partsBelow, tarEntries } from "./tar-entries.ts";

const PIECE = 64 * 1024;
/** Of one file that is read whole, such as /etc/passwd. */
const MOST_SMALL = 1024 * 1024;

/**
 * Turns the engine's tar of a folder (its names begin with the folder's own) into entries of an archive below `root`. Hard
 * links become copies; devices and names that leave the folder are left out. The data is never unpacked on this machine.
 */
export async function appendTar(stream: NodeJS.ReadableStream, root: string, writer: ArchiveWriter): Promise<void> {
  for await (const entry of tarEntries(stream)) {
    const path = placeOf(entry.header.name, root);
    if (path === null) continue;
    if (entry.header.type === "link") await appendCopy(writer, path, placeOf(entry.header.linkname ?? "", root));
    const found = describe(entry.header, path);
    if (found === null) continue;
    writer.frame("N", framed(found));
    let offset = 0;
    for await (const chunk of entry as AsyncIterable<Buffer>) // tar-stream's chunks are buffers
      for (let at = 0; at < chunk.length; at += PIECE) {
        const piece = chunk.subarray(at, at + PIECE);
        writer.frame("D", chunkPayload(offset, piece).frame(0, "D").subarray(9));
        offset += piece.length;
      }
  }
}

/** A file by one more name. What its first name is not here of was left out itself. */
async function appendCopy(writer: ArchiveWriter, path: string, first: string | null): Promise<void> {
  const file = first === null ? null : writer.find(first);
  if (file === null || typeOf(file.mode) !== "file") return;
  writer.frame("N", framed({ ...file, path }));
  for await (const payload of writer.content(file)) writer.frame("D", payload);
}

const framed = (entry: ArchiveEntry): Buffer => entryPayload(entry).frame(0, "N").subarray(9);

/** The content of the first file in an engine's tar; null when it is too large or no file. */
export async function smallFile(stream: NodeJS.ReadableStream): Promise<string | null> {
  for await (const entry of tarEntries(stream))
    if (entry.header.type === "file" && (entry.header.size ?? 0) <= MOST_SMALL) return (await buffer(entry)).toString();
  return null;
}

function placeOf(name: string, root: string): string | null {
  const parts = partsBelow(name);
  return parts === null ? null : Buffer.from([root, ...parts].join("/")).toString("latin1");
}

function describe(header: Header, path: string): ArchiveEntry | null {
  const { type } = header;
  if (type !== "file" && type !== "directory" && type !== "symlink") return null;
  const mode = MODE_OF_TYPE[type] | ((header.mode ?? 0o644) & 0o7777);
  const mtime = BigInt(Math.max(0, header.mtime?.getTime() ?? 0)) * 1_000_000n;
  const target = Buffer.from(type === "symlink" ? (header.linkname ?? "") : "");
  return { path, mode, size: type === "file" ? (header.size ?? 0) : 0, mtime, links: 1, target };
}
