import { Readable } from "node:stream";
import { type Extract, extract } from "tar-stream";

export type TarEntry = Extract extends AsyncIterable<infer Entry> ? Entry : never;

/**
 * The entries of an engine's tar; what is not read of one is skipped. The stream is cut off at the end, however that comes:
 * while its answer is open, the engine does nothing else with the container.
 */
export async function* tarEntries(stream: NodeJS.ReadableStream): AsyncGenerator<TarEntry, void> {
  const entries = extract();
  stream.once("error", (error: Error) => entries.destroy(error));
  stream.pipe(entries);
  try {
    for await (const entry of entries) {
      yield entry;
      entry.resume();
    }
  } finally {
    if (stream instanceof Readable) stream.destroy();
  }
}

/** The parts of a name in the engine's tar of a folder, less the folder's own; null for one that leaves it. */
export function partsBelow(name: string): string[] | null {
  const parts = name.replace(/\/+$/, "").split("/").slice(1);
  return parts.some((part) => part === "" || part === "." || part === "..") ? null : parts;
}
