import { buffer } from "node:stream/consumers";
import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { PacedPack } from "./paced-pack.ts";

const LINKS = 5_000;

/** Links that were written by now. */
function writing(archive: PacedPack): { readonly done: Promise<void>; count(): number } {
  let count = 0;
  const write = async (): Promise<void> => {
    for (; count < LINKS; count++)
      await archive.add({ name: `${"x".repeat(150)}${count}`, type: "symlink", linkname: "y" });
    archive.finish();
  };
  return { done: write(), count: () => count };
}

/** Resolves when the writer waits. */
async function waits(links: { count(): number }): Promise<void> {
  for (let before = -1; before !== links.count(); await setImmediate()) before = links.count();
}

test("entries without content are written no faster than they are read, and all of them arrive", async () => {
  const archive = new PacedPack();
  const links = writing(archive);
  await waits(links);
  expect(links.count()).toBeGreaterThan(100);
  expect(links.count()).toBeLessThan(3_000);
  const tar = await buffer(archive.body);
  await links.done;
  expect(tar.length).toBeGreaterThan(LINKS * 512);
  expect(links.count()).toBe(LINKS);
});

test("one that is destroyed lets go of its writer", async () => {
  const archive = new PacedPack();
  const links = writing(archive);
  await waits(links);
  archive.destroy();
  await expect(links.done).rejects.toThrow(/destroyed/);
});
