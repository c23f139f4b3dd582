import { GymError } from "../../core/errors.ts";
import type { Digest } from "../../core/ids.ts";
import type { Sandbox, Snapshot, Submission } from "../../core/sandbox.ts";
import { SubmissionBlob, workspaceDigest } from "../../core/submission.ts";
import type { WorkerDeps } from "../deps.ts";
import { blobOf } from "./ending.ts";
import type { ActorParts } from "./session.ts";

/** A larger workspace is not parked: its episode keeps its sandbox. */
const MAX_PARKED_BYTES = 256 * 1024 * 1024;
const MAX_PARKED_ENTRIES = 50_000;
const UNPACK_TIMEOUT_MS = 60_000;

export interface SavedWorkspace {
  /** Blob of everything that differs from the base. */
  readonly snapshot: Digest;
  /** Of what differs in the workspace. */
  readonly workspace: Digest;
  /** Of the files in the blob. */
  readonly bytes: number;
}

/**
 * Puts everything that `frozen` changed since its base into a blob, so that any worker that reaches the store can go on from
 * it. Null when it is too large.
 */
export async function saveWorkspace(
  { deps, record, journal, lease }: ActorParts,
  frozen: Snapshot,
): Promise<SavedWorkspace | null> {
  const changes = await deps.provider.export(lease.snapshot, frozen, {
    root: "/",
    maxBytes: MAX_PARKED_BYTES,
    maxEntries: MAX_PARKED_ENTRIES,
  });
  if (!changes.ok) return null;
  const blob = { ...blobOf(changes.value), saved: `${record.episode_id} ${record.term} ${journal.last}` };
  const snapshot = await deps.store.putSnapshot(Buffer.from(JSON.stringify(blob)));
  const bytes = changes.value.manifest.reduce((sum, entry) => sum + entry.size, 0);
  return { snapshot, workspace: workspaceDigest(changes.value), bytes };
}

/** What an episode goes on from when its owner is gone: only the last. */
export class LastSaved {
  #snapshot: Digest | null;

  constructor(snapshot: Digest | null) {
    this.#snapshot = snapshot;
  }

  /**
   * The log has a later one, and every later owner will see it there. What cannot be dropped now is when the episode has
   * ended.
   */
  async replace({ store, log }: Pick<WorkerDeps, "store" | "log">, snapshot: Digest): Promise<void> {
    const former = this.#snapshot;
    this.#snapshot = snapshot;
    try {
      if (former !== null) await store.dropSnapshot(former);
    } catch (error) {
      log.warn({ err: error, snapshot: former }, "superseded snapshot not dropped");
    }
  }
}

/** Makes a fresh sandbox over the base what it was when the workspace was saved. */
export async function restoreWorkspace(deps: WorkerDeps, sandbox: Sandbox, digest: Digest): Promise<void> {
  const changes = await loadSubmission(deps, digest);
  const deleted = changes.manifest.filter((entry) => entry.type === "deleted");
  for (const entry of deleted) await sandbox.remove(`/${entry.path}`);
  if (changes.manifest.length === deleted.length) return;
  await removeFolders(
    sandbox,
    changes.manifest.flatMap(({ type, path }) => (type === "file" || type === "symlink" ? [path] : [])),
  );
  const unpacked = await sandbox.exec({
    argv: ["tar", "--extract", "--preserve-permissions", "--no-same-owner", "--overwrite", "--file=-", "--directory=/"],
    cwd: "/",
    stdin: changes.tar,
    timeoutMs: UNPACK_TIMEOUT_MS,
  });
  // tar ends with 2 when it may not touch the times or modes of folders like / and /tmp: their contents are in place.
  if (unpacked.exitCode !== 0 && unpacked.exitCode !== 2)
    throw new GymError(
      "sandbox_unavailable",
      `the workspace ${digest} could not be restored: ${Buffer.from(unpacked.stderr).toString().slice(0, 500)}`,
    );
}

/** tar puts nothing in the place of a folder that is not empty. Names of a manifest hold no control characters. */
async function removeFolders(sandbox: Sandbox, paths: readonly string[]): Promise<void> {
  if (paths.length === 0) return;
  const script =
    'while IFS= read -r path; do if [ -d "/$path" ] && [ ! -L "/$path" ]; then rm -rf -- "/$path"; fi; done';
  const stdin = `${paths.join("\n")}\n`;
  await sandbox.exec({ argv: ["/bin/sh", "-c", script], cwd: "/", stdin, timeoutMs: UNPACK_TIMEOUT_MS });
}

/** Reads a submission from its blob. */
export async function loadSubmission(deps: WorkerDeps, digest: Digest): Promise<Submission> {
  const bytes = await deps.store.blob(digest);
  if (bytes === null) throw new GymError("store_failed", `blob ${digest} is not in the store`);
  const blob = SubmissionBlob.parse(JSON.parse(Buffer.from(bytes).toString()));
  return { root: blob.root, manifest: blob.manifest, refused: blob.refused, tar: Buffer.from(blob.tar, "base64") };
}
