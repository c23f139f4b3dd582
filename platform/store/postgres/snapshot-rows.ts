import { sha256 } from "../../../core/ids.ts";
import type { SnapshotStore } from "../../../core/store.ts";
import type { RemovableBlobs } from "../removable-blobs.ts";
import { DROPPED_KNOWN_MS } from "../snapshot-table.ts";
import type { Connection } from "./connection.ts";

const TURN = "UPDATE snapshots SET state = $1, at = $2 WHERE digest = $3 AND state = 'own'";

/** As the embedded store's: own until it is shared or dropped, whichever comes first. */
export function snapshotRows(connection: Connection, blobs: RemovableBlobs, now: () => number): SnapshotStore {
  const isDropped = async (digest: string): Promise<boolean> =>
    (await connection.rows("SELECT state FROM snapshots WHERE digest = $1", [digest]))[0]?.state === "dropped";
  return {
    putSnapshot: async (data) => {
      await connection.rows("INSERT INTO snapshots (digest, state, at) VALUES ($1, 'own', $2) ON CONFLICT DO NOTHING", [
        sha256(data),
        now(),
      ]);
      return blobs.putBlob(data);
    },
    shareSnapshot: async (digest) => {
      await connection.rows(TURN, ["shared", now(), digest]);
      return !(await isDropped(digest));
    },
    dropSnapshot: async (digest) => {
      await connection.rows("DELETE FROM snapshots WHERE state = 'dropped' AND at < $1", [now() - DROPPED_KNOWN_MS]);
      await connection.rows(TURN, ["dropped", now(), digest]);
      if (await isDropped(digest)) await blobs.removeBlob(digest);
    },
  };
}
