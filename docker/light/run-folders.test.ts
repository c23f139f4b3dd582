import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { expect, test } from "vitest";
import { reapRunFolders, runFolderPrefix } from "./run-folders.ts";

const parent = process.geteuid?.() === 0 ? "/run/polygym-light" : `/tmp/polygym-light-${process.geteuid?.() ?? 0}`;

test("folders of dead hosts go, those of another pid namespace and new ones are left alone", async () => {
  await mkdir(parent, { recursive: true, mode: 0o700 });
  const dead = await mkdtemp(join(parent, await runFolderPrefix()));
  await writeFile(join(dead, "1"), "");
  const foreign = await mkdtemp(join(parent, "h-1-"));
  const starting = await mkdtemp(join(parent, await runFolderPrefix()));
  try {
    await reapRunFolders();
    const left = await readdir(parent);
    expect(left).toContain(basename(foreign));
    expect(left).toContain(basename(starting));
    expect(left).not.toContain(basename(dead));
  } finally {
    for (const folder of [foreign, starting]) await rm(folder, { recursive: true, force: true });
  }
});
