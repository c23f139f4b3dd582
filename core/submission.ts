import * as z from "zod";
import { Digest } from "./ids.ts";

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
});
export type SubmissionBlob = z.infer<typeof SubmissionBlob>;
