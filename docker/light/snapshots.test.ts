import { expect, test } from "vitest";
import { sha256 } from "../../core/ids.ts";
import type { Snapshot } from "../../core/sandbox.ts";
import { DEEP, SnapshotTable } from "./snapshots.ts";

const size = { bytes: 1_000, inodes: 1 };
const snapshot = (id: number): Snapshot => ({
  id: `snap_${id}`,
  image: "host",
  imageDigest: sha256("host"),
  lost: null,
});

/** `n` states over each other, each held by its own snapshot; layer and snapshot have the same number. */
function chain(table: SnapshotTable, n: number): void {
  for (let layer = 1; layer <= n; layer++) {
    const below = layer === 1 ? [] : table.layersOf(snapshot(layer - 1));
    table.add(snapshot(layer), { layer, size, below });
  }
}

test("a layer is freed when neither a snapshot nor a sandbox stands on it", () => {
  const table = new SnapshotTable();
  chain(table, 2);
  const standing = table.stand(table.layersOf(snapshot(2)));
  expect(table.remove(snapshot(1))).toEqual([]);
  expect(table.remove(snapshot(2))).toEqual([]);
  expect(table.leave(standing)).toEqual([2, 1]);
  expect(table.leave(standing)).toEqual([]);
  expect(table.bytes).toBe(0);
});

test("a chain becomes two layers when it is deep, and what nobody needs is freed", () => {
  const table = new SnapshotTable();
  chain(table, DEEP);
  expect(table.runOf(snapshot(DEEP))).toBeNull();
  table.add(snapshot(DEEP + 1), { layer: DEEP + 1, size, below: table.layersOf(snapshot(DEEP)) });
  const run = table.runOf(snapshot(DEEP + 1));
  if (run === null) throw new Error("nothing to merge");
  expect(run.below).toEqual([1]);
  for (let id = 1; id <= DEEP; id++) expect(table.remove(snapshot(id))).toEqual([]);
  expect(table.replace(run, 100, size)).toEqual(Array.from({ length: DEEP }, (_, i) => DEEP + 1 - i));
  expect(table.layersOf(snapshot(DEEP + 1))).toEqual([100, 1]);
  expect(table.remove(snapshot(DEEP + 1))).toEqual([100, 1]);
});

test("a sandbox that stood on merged layers is frozen over the merged one", () => {
  const table = new SnapshotTable();
  chain(table, DEEP + 1);
  const run = table.runOf(snapshot(DEEP + 1));
  if (run === null) throw new Error("nothing to merge");
  const standing = table.stand(table.layersOf(snapshot(DEEP + 1)));
  for (let id = 1; id <= DEEP + 1; id++) table.remove(snapshot(id));
  expect(table.replace(run, 100, size)).toEqual([]);
  table.add(snapshot(200), { layer: 200, size, below: standing.layers });
  expect(table.layersOf(snapshot(200))).toEqual([200, 100, 1]);
  expect(table.leave(standing)).toHaveLength(DEEP);
  expect(table.remove(snapshot(200))).toEqual([200, 100, 1]);
  expect(table.bytes).toBe(0);
});

test("a merged layer that nobody waited for is freed at once", () => {
  const table = new SnapshotTable();
  chain(table, DEEP + 1);
  const run = table.runOf(snapshot(DEEP + 1));
  if (run === null) throw new Error("nothing to merge");
  for (let id = 1; id <= DEEP + 1; id++) table.remove(snapshot(id));
  expect(table.replace(run, 100, size)).toEqual([100]);
  expect(table.bytes).toBe(0);
});

test("a short chain is merged when much of what it holds is written over", () => {
  const table = new SnapshotTable();
  const large = { bytes: 50 * 1024 * 1024, inodes: 1 };
  table.add(snapshot(1), { layer: 1, size, below: [] });
  table.add(snapshot(2), { layer: 2, size: large, below: [1] });
  table.add(snapshot(3), { layer: 3, size: large, below: [2, 1] });
  expect(table.runOf(snapshot(3))).toBeNull();
  table.add(snapshot(4), { layer: 4, size: large, below: [3, 2, 1] });
  expect(table.runOf(snapshot(4))).toEqual({ layers: [4, 3, 2], below: [1] });
});
