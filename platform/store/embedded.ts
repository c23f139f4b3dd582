import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Store } from "../../core/store.ts";
import type { Logger } from "../log.ts";
import { adminTables } from "./admin-tables.ts";
import { blobFiles, secretOf } from "./blob-files.ts";
import { Database } from "./database.ts";
import { EpisodeTable } from "./episode-table.ts";
import { EventReader } from "./event-reader.ts";
import { type StoredEvents, withLargeEvents } from "./large-events.ts";
import { recover } from "./recover.ts";
import { eventLine, recordLine } from "./segment-line.ts";
import { SegmentWriter } from "./segment-writer.ts";
import { snapshotTable } from "./snapshot-table.ts";
import { taskTable } from "./task-table.ts";

export interface EmbeddedStoreOptions {
  /** Folder of the store: `segments/`, `blobs/`, `store.db`, `secret`. Made when it is missing. */
  readonly dir: string;
  /** Names the segments that this process writes; no other process may have it. */
  readonly processId: string;
  readonly log: Logger;
  readonly now: () => number;
}

/** The embedded store: segments of events, SQLite and blob files in one folder, for the processes of one machine. */
export async function openEmbeddedStore({ dir, processId, log, now }: EmbeddedStoreOptions): Promise<Store> {
  const segments = join(dir, "segments");
  mkdirSync(segments, { recursive: true, mode: 0o700 });
  const database = await Database.open(join(dir, "store.db"));
  const { sql } = database;
  const addSegment = sql.prepare("INSERT OR IGNORE INTO segments (name) VALUES (?)");
  const link = sql.prepare("INSERT OR IGNORE INTO episode_segments SELECT ?, id FROM segments WHERE name = ?");
  const seal = sql.prepare("UPDATE segments SET sealed = 1 WHERE name = ?");
  const segmentsOf = sql.prepare(
    "SELECT s.name FROM episode_segments AS e JOIN segments AS s ON s.id = e.segment WHERE e.episode_id = ? ORDER BY s.id",
  );
  const writer = new SegmentWriter({
    dir: segments,
    processId,
    register: (segment, episodeIds) =>
      database.write(() => {
        addSegment.run(segment);
        for (const id of episodeIds) link.run(id, segment);
      }),
    seal: (segment) => database.write(() => void seal.run(segment)),
  });
  const table = new EpisodeTable({
    database,
    keepCopy: (record, digest) => writer.append([recordLine(record, digest)]),
    now,
  });
  await recover({ database, table, dir: segments, log });
  const reader = new EventReader(segments, (id) => segmentsOf.all(id).map((row) => String(row.name)));
  const blobs = blobFiles(join(dir, "blobs"));
  const events: StoredEvents = {
    append: (batch) => writer.append(batch.map(eventLine)),
    events: (id, query) => reader.events(id, query),
  };
  const admin = adminTables({ database, secret: secretOf(dir), now });
  let closing: Promise<void> | null = null;
  const closeAll = async () => {
    await writer.close();
    reader.close();
    database.close();
  };
  const close = () => {
    closing ??= closeAll();
    return closing;
  };
  return {
    createEpisode: (record, digest, maxOpen) => table.createEpisode(record, digest, maxOpen),
    episode: (id) => table.episode(id),
    episodes: (filter, page) => table.episodes(filter, page),
    counts: (filter) => table.counts(filter),
    unfinished: (states, olderThanMs, only) => table.unfinished(states, olderThanMs, only),
    abandoned: () => table.abandoned(),
    grantTerm: (id, worker, expected, maxLive) => table.grantTerm(id, worker, expected, maxLive),
    overQuota: (owner, limit) => table.overQuota(owner, limit),
    update: (id, guard, patch) => table.update(id, guard, patch),
    unclosed: (olderThanMs) => table.unclosed(olderThanMs),
    closeLogs: (ids) => table.closeLogs(ids),
    runs: (filter) => table.runs(filter),
    completions: (filter, page) => table.completions(filter, page),
    addVerdict: (id, verdict) => table.addVerdict(id, verdict),
    verdicts: (id) => table.verdicts(id),
    ...withLargeEvents(events, blobs),
    ...{ putBlob: blobs.putBlob, blob: blobs.blob },
    ...snapshotTable(database, blobs, now),
    ...admin,
    ...taskTable(database),
    close,
    [Symbol.asyncDispose]: close,
  };
}
