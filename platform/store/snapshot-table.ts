import { sha256 } from "../../core/ids.ts";
import type { SnapshotStore } from "../../core/store.ts";
import type { Database } from "./database.ts";
import type { RemovableBlobs } from "./removable-blobs.ts";

/** How long it is known that a snapshot was dropped: longer than anybody takes from reading a log to sharing what it names. */
export const DROPPED_KNOWN_MS = 3_600_000;

/** A snapshot is its episode's own until it is shared or dropped, whichever comes first. */
export function snapshotTable(database: Database, blobs: RemovableBlobs, now: () => number): SnapshotStore {
  const { sql } = database;
  const insert = sql.prepare("INSERT OR IGNORE INTO snapshots (digest, state, at) VALUES (?, 'own', ?)");
  const turn = sql.prepare("UPDATE snapshots SET state = ?, at = ? WHERE digest = ? AND state = 'own'");
  const stateOf = sql.prepare("SELECT state FROM snapshots WHERE digest = ?");
  const forget = sql.prepare("DELETE FROM snapshots WHERE state = 'dropped' AND at < ?");
  return {
    putSnapshot: async (data) => {
      await database.write(() => void insert.run(sha256(data), now()));
      return blobs.putBlob(data);
    },
    shareSnapshot: (digest) =>
      database.write(() => {
        turn.run("shared", now(), digest);
        return stateOf.get(digest)?.state !== "dropped";
      }),
    dropSnapshot: async (digest) => {
      const dropped = await database.write(() => {
        forget.run(now() - DROPPED_KNOWN_MS);
        turn.run("dropped", now(), digest);
        return stateOf.get(digest)?.state === "dropped";
      });
      if (dropped) await blobs.removeBlob(digest);
    },
  };
}
