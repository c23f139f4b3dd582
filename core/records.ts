import * as z from "zod";
import { Digest, JobId, TaskId } from "./ids.ts";
import { Json } from "./json.ts";

export const API_ROLES = ["viewer", "trainer", "evaluator", "author", "operator"] as const;
/** Roles do not nest but for reading: all may what a viewer may; a token may carry several (api.md §4). */
export const ApiRole = z.enum(API_ROLES);
export type ApiRole = z.infer<typeof ApiRole>;

export const TokenRecord = z.object({
  id: z.string(),
  /** sha256 of the secret; the secret itself is shown once and kept nowhere. */
  hash: z.string(),
  roles: z.array(ApiRole).min(1),
  name: z.string().nullable(),
  created_at: z.int(),
  revoked_at: z.int().nullable(),
});
export type TokenRecord = z.infer<typeof TokenRecord>;

export const BACKGROUND_KINDS = ["import", "validation", "build"] as const;
/** An import, a validation or work on images: `POST` starts it, `GET …/{job_id}?wait_s=` polls it. */
export const BackgroundJob = z.object({
  job_id: JobId,
  kind: z.enum(BACKGROUND_KINDS),
  owner: z.string(),
  state: z.enum(["queued", "running", "done", "failed"]),
  done: z.int(),
  total: z.int().nullable(),
  report: Json.describe("grows while it runs"),
  error: z.string().nullable(),
  created_at: z.int(),
  updated_at: z.int(),
});
export type BackgroundJob = z.infer<typeof BackgroundJob>;

/** One version of an imported task. Its folder is a blob, for the hosts that have not seen the import. */
export const ImportedVersion = z.object({
  id: TaskId,
  version: Digest,
  archive: Digest.describe("blob: tar.gz of the folder"),
});
export type ImportedVersion = z.infer<typeof ImportedVersion>;
