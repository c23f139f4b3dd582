import { join } from "node:path";
import { GymError } from "../../core/errors.ts";
import type { Digest, TaskId } from "../../core/ids.ts";
import type { ImportedVersion } from "../../core/records.ts";
import type { BlobStore, TaskStore } from "../../core/store.ts";
import type { QuarantinedTask, Task, TaskCatalog, TaskSummary } from "../../core/task.ts";
import { importedTasksDir, openTaskCatalog } from "./catalog.ts";
import { readTaskFolder, writeTaskFolder } from "./folder.ts";
import { packTree, untar } from "./folder-archive.ts";
import { readTree, taskInvalid, treeDigest } from "./folder-tree.ts";

/** Imports are announced; this is for announcements that were lost. */
const LOOK_EVERY_MS = 30_000;
/** Former versions kept in memory: only episodes that pin them ask. */
const CACHED_VERSIONS = 128;

export interface SharedCatalogOptions {
  /** POLYGYM_HOME of this host. */
  readonly home: string;
  /** Shared by all hosts. */
  readonly store: TaskStore & BlobStore;
}

/**
 * The tasks of this home and those imported at any other: their latest versions are brought into this home, former ones are
 * found by digest. A folder here that no import made is its author's and is left alone.
 */
export function openSharedCatalog(options: SharedCatalogOptions): TaskCatalog {
  return new SharedCatalog(options);
}

/** Lets every host have the imported task whose folder lies in this home. */
export async function publishTask({ home, store }: SharedCatalogOptions, id: TaskId): Promise<void> {
  const tree = await readTree(folderOf(home, id));
  const archive = await store.putBlob(await packTree(tree));
  await store.putTask({ id, version: treeDigest(tree), archive });
}

const folderOf = (home: string, id: TaskId): string => join(importedTasksDir(home), ...id.split("/"));

class SharedCatalog implements TaskCatalog {
  readonly #home: string;
  readonly #store: TaskStore & BlobStore;
  readonly #local: TaskCatalog;
  /** In order of use, the oldest first. */
  readonly #versions = new Map<string, Promise<Task | null>>();
  /** What could not be brought here, by id. */
  readonly #missing = new Map<TaskId, string>();
  #cursor = 0;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> = Promise.resolve();

  constructor({ home, store }: SharedCatalogOptions) {
    this.#home = home;
    this.#store = store;
    this.#local = openTaskCatalog({ home });
  }

  async list(): Promise<TaskSummary[]> {
    await this.#lookAgain();
    return this.#local.list();
  }

  async quarantined(): Promise<QuarantinedTask[]> {
    await this.#lookAgain();
    const missing = [...this.#missing].map(([id, reason]) => ({ id, reason }));
    return [...(await this.#local.quarantined()), ...missing].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  async load(id: TaskId): Promise<Task | null> {
    await this.#lookAgain();
    return this.#local.load(id);
  }

  async loadVersion(id: TaskId, version: Digest): Promise<Task | null> {
    const local = await this.#local.loadVersion(id, version).catch(() => null); // a broken folder is not that version
    if (local !== null) return local;
    const key = `${id} ${version}`;
    const task = this.#versions.get(key) ?? this.#bringVersion(id, version);
    this.#versions.delete(key);
    this.#versions.set(key, task);
    task.then(
      (found) => found ?? this.#versions.delete(key),
      () => this.#versions.delete(key),
    );
    for (const oldest of this.#versions.keys()) {
      if (this.#versions.size <= CACHED_VERSIONS) break;
      this.#versions.delete(oldest);
    }
    return task;
  }

  async refresh(): Promise<void> {
    await this.#local.refresh();
    this.#lookedAt = Number.NEGATIVE_INFINITY;
    await this.#lookAgain();
  }

  /** One look at a time; each sees what was put before it began. */
  #lookAgain(): Promise<void> {
    if (performance.now() - this.#lookedAt < LOOK_EVERY_MS) return this.#looking;
    this.#lookedAt = performance.now();
    const looking = this.#looking.catch(() => undefined).then(() => this.#bringLatest());
    this.#looking = looking;
    looking.catch(() => {
      this.#lookedAt = Number.NEGATIVE_INFINITY;
      if (this.#looking === looking) this.#looking = Promise.resolve();
    });
    return looking;
  }

  async #bringLatest(): Promise<void> {
    for (;;) {
      const tasks = await this.#store.tasksSince(this.#cursor);
      const latest = new Map(tasks.map((task) => [task.id, task]));
      for (const task of latest.values()) await this.#bring(task);
      const last = tasks.at(-1);
      if (last === undefined) return;
      this.#cursor = last.cursor;
    }
  }

  /** One that cannot be brought is quarantined here; it never hides the others. */
  async #bring(task: ImportedVersion): Promise<void> {
    try {
      const dir = folderOf(this.#home, task.id);
      if (await this.#isForeign(task)) await this.#write(dir, task);
      this.#missing.delete(task.id);
    } catch (error) {
      if (!(error instanceof GymError) || error.code !== "task_invalid") throw error;
      this.#missing.set(task.id, error.message);
    }
    await this.#local.refresh();
  }

  /** True when this home has nothing of that name, or what an earlier import made of it. */
  async #isForeign(task: ImportedVersion): Promise<boolean> {
    const local = await this.#local.load(task.id).catch(() => "broken" as const); // its own reason is shown for it
    if (local === null) return true;
    if (local === "broken" || local.version === task.version) return false;
    return (await this.#store.taskVersion(task.id, local.version)) !== null;
  }

  async #bringVersion(id: TaskId, version: Digest): Promise<Task | null> {
    const task = await this.#store.taskVersion(id, version);
    if (task === null) return null;
    const dir = join(this.#home, "task-versions", version.slice("sha256:".length));
    const here = await readTaskFolder(dir).catch(() => null); // not there, or half there: written anew
    return here?.version === version ? here : this.#write(dir, task);
  }

  async #write(dir: string, { id, version, archive }: ImportedVersion): Promise<Task> {
    const packed = await this.#store.blob(archive);
    if (packed === null)
      throw taskInvalid(id, `its archive ${archive} is not reachable from this host; is POLYGYM_BLOBS shared?`);
    const tree = await untar(packed);
    const task = await writeTaskFolder(dir, tree).catch(async (error: unknown) => {
      // Another process of this host may have been faster.
      const there = await readTaskFolder(dir).catch(() => null);
      if (there?.version !== version) throw error;
      return there;
    });
    if (task.version !== version) throw taskInvalid(id, `its archive holds ${task.version}, not ${version}`);
    return task;
  }
}
