import { folderImporter } from "./folder-importer.ts";
import { humanevalImporter } from "./humaneval/importer.ts";

export interface ImportOptions {
  /** First part of the tasks' ids. (Default: the importer's own name, or what the upload says) */
  readonly source?: string | undefined;
}

/** What became of one task of an upload. */
export interface ImportedTask {
  /** The task's id; of a task that has none, its place in the upload. */
  readonly id: string;
  /** skipped: the same content was there already. */
  readonly status: "written" | "skipped" | "failed";
  readonly reason?: string;
}

/**
 * Turns an upload of a foreign format into native task folders `<into>/<source>/<name>`. A task that cannot be written is a
 * line of the answer; an upload that is not of the format at all is a GymError `task_invalid`.
 */
export interface Importer {
  readonly format: string;
  readonly description: string;
  import(upload: Uint8Array, into: string, options: ImportOptions): AsyncIterable<ImportedTask>;
}

/** By format, the name after `polygym import`. */
export const importers: ReadonlyMap<string, Importer> = new Map(
  [folderImporter, humanevalImporter].map((importer) => [importer.format, importer]),
);
