import * as z from "zod";
import { canonicalJson, Digest, sha256 } from "./ids.ts";
import { type Submission, WORKSPACE } from "./sandbox.ts";

/** The wire form of {@link ManifestEntry}. */
export const ManifestEntrySchema = z.object({
  path: z.string(),
  type: z.enum(["file", "directory", "symlink", "deleted"]),
  mode: z.int(),
  size: z.int(),
  sha256: Digest.nullable(),
});

/**
 * What a submission blob holds: the manifest beside the canonical tar (base64 in JSON). One blob, so that a verifier on any
 * worker needs one digest.
 */
export const SubmissionBlob = z.object({
  root: z.string(),
  manifest: z.array(ManifestEntrySchema),
  refused: z.array(z.object({ path: z.string(), reason: z.string() })),
  tar: z.base64(),
  /** Of a saved workspace: episode, term and event that it is of. No other blob is the same. */
  saved: z.string().optional(),
});
export type SubmissionBlob = z.infer<typeof SubmissionBlob>;

/**
 * Digest of what differs from the base below `folder`, whatever root above it was exported. Equal changes have equal
 * digests, in whatever order they were made: of names, types, modes, contents and deletions. Times, owners and what may not
 * travel do not count.
 */
export function workspaceDigest({ root, manifest }: Pick<Submission, "root" | "manifest">, folder = WORKSPACE): Digest {
  const prefix = folder === root ? "" : `${folder.slice(root === "/" ? 1 : root.length + 1)}/`;
  const below = manifest
    .filter(({ path }) => path.startsWith(prefix))
    .map(({ path, type, mode, size, sha256: content }) => [path.slice(prefix.length), type, mode, size, content])
    .sort(([a], [b]) => Buffer.compare(Buffer.from(String(a)), Buffer.from(String(b))));
  return sha256(canonicalJson(below));
}
