import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Digest, sha256, TaskId } from "../core/ids.ts";
import type { Store } from "../core/store.ts";
import type { FileTree } from "../core/task.ts";
import { importedTasksDir } from "../environments/tasks/catalog.ts";
import { textFile, writeTaskFolder } from "../environments/tasks/folder.ts";
import { readTree } from "../environments/tasks/folder-tree.ts";
import { openSharedCatalog, publishTask } from "../environments/tasks/shared-catalog.ts";
import { openStore } from "../platform/store/open.ts";
import { pinnedTask } from "../workers/pinned-task.ts";
import { root } from "./command.ts";

/** Two homes over one store: a task imported at one is the other's too. */

const id = TaskId.parse("mine/leap");
let dir: string;
let store: Store;
let here: string;
let there: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "polygym-shared-"));
  store = await openStore({ dir: join(dir, "store"), processId: "worker_a", log: pino({ level: "silent" }) });
  here = join(dir, "here");
  there = join(dir, "there");
});
afterEach(async () => {
  await store.close();
  await rm(dir, { recursive: true });
});

/** The demo task under a name of its own, with a line more in what it says. */
async function treeOf(line: string): Promise<FileTree> {
  const tree = new Map(await readTree(join(root, "environments/tasks/demo/leap-year")));
  const edit = (path: string, change: (text: string) => string) =>
    tree.set(path, textFile(change(Buffer.from(tree.get(path)?.data ?? []).toString())));
  edit("task.toml", (text) => text.replace("demo/leap-year", id));
  edit("instruction.md", (text) => `${text}\n${line}\n`);
  return tree;
}

const folder = (home: string) => join(importedTasksDir(home), id);

async function importAt(home: string, line: string): Promise<Digest> {
  const { version } = await writeTaskFolder(folder(home), await treeOf(line));
  await publishTask({ home, store }, id);
  return version;
}

const catalogOf = (home: string) => openSharedCatalog({ home, store });

test("a task imported at one host is listed and loaded at the other, with every file as it was", async () => {
  const version = await importAt(here, "one");
  const catalog = catalogOf(there);
  const listed = (await catalog.list()).filter((task) => task.source === "mine");
  expect(listed).toMatchObject([{ id, version }]);
  expect(await catalog.load(id)).toEqual(await catalogOf(here).load(id));
  expect([...(await readTree(folder(there)))]).toEqual([...(await readTree(folder(here)))]);
});

test("a catalog that is open sees an import after a refresh, and the former version stays to be had by its digest", async () => {
  const catalog = catalogOf(there);
  expect(await catalog.load(id)).toBeNull();
  const first = await importAt(here, "one");
  expect((await pinnedTask(catalog, id, first)).instruction).toContain("one");
  await catalog.refresh();
  const second = await importAt(here, "two");
  await catalog.refresh();
  expect((await catalog.load(id))?.version).toBe(second);
  const pinned = await pinnedTask(catalog, id, first);
  expect(pinned).toMatchObject({ id, version: first });
  expect(pinned.instruction).not.toContain("two");
  await expect(pinnedTask(catalog, id, sha256("never"))).rejects.toMatchObject({ code: "task_invalid" });
});

test("a folder that its author changed at this host is left alone", async () => {
  await importAt(here, "one");
  const catalog = catalogOf(there);
  await catalog.list();
  await writeFile(join(folder(there), "instruction.md"), "mine now\n");
  await importAt(here, "two");
  await catalog.refresh();
  expect((await catalog.load(id))?.instruction).toBe("mine now\n");
});

test("an archive that this host cannot reach is a reason in the list, and hides nothing", async () => {
  await store.putTask({ id, version: sha256("v"), archive: sha256("nowhere") });
  const catalog = catalogOf(there);
  expect(await catalog.quarantined()).toMatchObject([{ id, reason: expect.stringContaining("not reachable") }]);
  expect((await catalog.list()).length).toBeGreaterThan(0);
});

test("processes of one host that bring the same task at once all have it, and leave nothing beside it", async () => {
  const version = await importAt(here, "one");
  const catalogs = Array.from({ length: 5 }, () => catalogOf(there));
  const loaded = await Promise.all(catalogs.map((catalog) => catalog.load(id)));
  expect(loaded.map((task) => task?.version)).toEqual(catalogs.map(() => version));
  expect(await readdir(join(importedTasksDir(there), "mine"))).toEqual(["leap"]);
});
