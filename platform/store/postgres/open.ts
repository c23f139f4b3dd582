import type { Store } from "../../../core/store.ts";
import type { BlobPlace } from "../../blob-place.ts";
import type { Logger } from "../../log.ts";
import { blobFiles } from "../blob-files.ts";
import { blobObjects } from "../blob-objects.ts";
import { withLargeEvents } from "../large-events.ts";
import type { RemovableBlobs } from "../removable-blobs.ts";
import { adminRows } from "./admin-rows.ts";
import { blobRows } from "./blob-rows.ts";
import { Connection } from "./connection.ts";
import { EpisodeRows } from "./episode-rows.ts";
import { EventRows } from "./event-rows.ts";
import { migrate } from "./migrations.ts";
import { snapshotRows } from "./snapshot-rows.ts";
import { taskRows } from "./task-rows.ts";

const largeBlobs = (place: BlobPlace): RemovableBlobs =>
  place.kind === "folder" ? blobFiles(place.dir) : blobObjects(place);

export interface PostgresStoreOptions {
  /** `postgres://…` */
  readonly url: string;
  /** Where every host finds large blobs. Null: in the database too. */
  readonly blobs: BlobPlace | null;
  readonly processId: string;
  readonly log: Logger;
  readonly now: () => number;
  /** How long a call waits for a server that is away. (Default: 60000) */
  readonly patienceMs?: number | undefined;
}

/** The store of many hosts: everything in one PostgreSQL database, large blobs in a shared folder or bucket where there is one. */
export async function openPostgresStore(options: PostgresStoreOptions): Promise<Store> {
  const { url, blobs: place, processId, log, now, patienceMs } = options;
  const connection = new Connection({ url, processId, log, patienceMs });
  try {
    await migrate(connection);
    const [durability] = await connection.rows("SHOW fsync");
    if (durability?.fsync !== "on") log.warn("PostgreSQL runs with fsync off: a crash of its machine loses episodes");
  } catch (error) {
    await connection.close();
    throw error;
  }
  const episodes = new EpisodeRows(connection, now);
  const events = new EventRows(connection);
  const blobs = blobRows({ connection, large: place === null ? null : largeBlobs(place) });
  let closing: Promise<void> | null = null;
  const closeAll = async () => {
    await events.close();
    await connection.close();
  };
  const close = () => {
    closing ??= closeAll();
    return closing;
  };
  return {
    createEpisode: (record, digest, maxOpen) => episodes.createEpisode(record, digest, maxOpen),
    episode: (id) => episodes.episode(id),
    episodes: (filter, page) => episodes.episodes(filter, page),
    counts: (filter) => episodes.counts(filter),
    unfinished: (states, olderThanMs, only) => episodes.unfinished(states, olderThanMs, only),
    abandoned: () => episodes.abandoned(),
    grantTerm: (id, worker, expected, maxLive) => episodes.grantTerm(id, worker, expected, maxLive),
    overQuota: (owner, limit) => episodes.overQuota(owner, limit),
    update: (id, guard, patch) => episodes.update(id, guard, patch),
    unclosed: (olderThanMs) => episodes.unclosed(olderThanMs),
    closeLogs: (ids) => episodes.closeLogs(ids),
    runs: (filter) => episodes.runs(filter),
    completions: (filter, page) => episodes.completions(filter, page),
    addVerdict: (id, verdict) => episodes.addVerdict(id, verdict),
    verdicts: (id) => episodes.verdicts(id),
    ...withLargeEvents(events, blobs),
    ...{ putBlob: blobs.putBlob, blob: blobs.blob },
    ...snapshotRows(connection, blobs, now),
    ...adminRows({ connection, now }),
    ...taskRows(connection),
    close,
    [Symbol.asyncDispose]: close,
  };
}
