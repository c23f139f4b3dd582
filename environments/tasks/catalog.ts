import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { GymError } from "../../core/errors.ts";
import { type Digest, TaskId } from "../../core/ids.ts";
import type { QuarantinedTask, Task, TaskCatalog, TaskSummary } from "../../core/task.ts";
import { readTaskFolder } from "./folder.ts";
import { taskInvalid } from "./folder-tree.ts";

/** Loaded tasks kept in memory: a task of the usual suites takes some tens of KiB. */
const CACHED_TASKS = 512;
const PARALLEL_READS = 16;

/** Suites that come with the product, one folder per source. Their names are taken: nothing can be imported into them. */
const builtInFolders: ReadonlyMap<string, string> = new Map([
  ["demo", fileURLToPath(new URL("./demo", import.meta.url))],
]);
export const BUILT_IN_SOURCES: readonly string[] = [...builtInFolders.keys()];

/** Folder that imports are written to, as `<source>/<name>`. */
export const importedTasksDir = (home: string): string => join(home, "tasks");

/** The built-in tasks and those imported into `<home>/tasks/<source>/<name>`. Reads nothing before it is asked. */
export function openTaskCatalog({ home }: { readonly home: string }): TaskCatalog {
  return new FolderCatalog(importedTasksDir(home));
}

interface Overview {
  readonly summaries: readonly TaskSummary[];
  readonly quarantined: readonly QuarantinedTask[];
}

class FolderCatalog implements TaskCatalog {
  readonly #imported: string;
  /** In order of use, the oldest first. */
  readonly #tasks = new Map<string, Promise<Task | null>>();
  #overview: Promise<Overview> | null = null;

  constructor(imported: string) {
    this.#imported = imported;
  }

  async list(): Promise<TaskSummary[]> {
    return [...(await this.#look()).summaries];
  }

  async quarantined(): Promise<QuarantinedTask[]> {
    return [...(await this.#look()).quarantined];
  }

  load(id: TaskId): Promise<Task | null> {
    const cached = this.#tasks.get(id);
    this.#tasks.delete(id);
    const task = cached ?? this.#read(id);
    this.#tasks.set(id, task);
    // A failure is not kept: the folder may be mended before the next call. The caller gets the rejection itself.
    task.catch(() => this.#tasks.delete(id));
    for (const oldest of this.#tasks.keys()) {
      if (this.#tasks.size <= CACHED_TASKS) break;
      this.#tasks.delete(oldest);
    }
    return task;
  }

  async loadVersion(id: TaskId, version: Digest): Promise<Task | null> {
    const task = await this.load(id);
    return task?.version === version ? task : null;
  }

  refresh(): Promise<void> {
    this.#tasks.clear();
    this.#overview = null;
    return Promise.resolve();
  }

  async #read(id: TaskId): Promise<Task | null> {
    if (!TaskId.safeParse(id).success) return null;
    const [source = "", name = ""] = id.split("/");
    const dir = join(builtInFolders.get(source) ?? join(this.#imported, source), name);
    if (!(await isFolder(dir))) return null;
    const task = await readTaskFolder(dir);
    if (task.id !== id)
      throw taskInvalid(join(dir, "task.toml"), `task.name: must be ${id}, as its folder says, got ${task.id}`);
    return task;
  }

  #look(): Promise<Overview> {
    if (this.#overview !== null) return this.#overview;
    const overview = this.#survey();
    this.#overview = overview;
    overview.catch(() => {
      this.#overview = null;
    });
    return overview;
  }

  async #survey(): Promise<Overview> {
    const summaries: TaskSummary[] = [];
    const quarantined: QuarantinedTask[] = [];
    const waiting: string[] = [];
    for (const [source, dir] of builtInFolders)
      waiting.push(...(await subfolders(dir)).map((name) => `${source}/${name}`));
    for (const source of await subfolders(this.#imported)) {
      const ids = (await subfolders(join(this.#imported, source))).map((name) => `${source}/${name}`);
      if (!builtInFolders.has(source)) waiting.push(...ids);
      else
        quarantined.push(
          ...ids.map((id) => ({ id, reason: `the source ${source} is built in; import it under another name` })),
        );
    }
    const readNext = async (): Promise<void> => {
      for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
        try {
          const task = await this.load(TaskId.parse(id));
          if (task !== null) summaries.push(summaryOf(task));
        } catch (error) {
          quarantined.push({ id, reason: reasonOf(error) });
        }
      }
    };
    await Promise.all(Array.from({ length: PARALLEL_READS }, readNext));
    return { summaries: summaries.sort(byId), quarantined: quarantined.sort(byId) };
  }
}

const byId = (a: { readonly id: string }, b: { readonly id: string }): number =>
  a.id < b.id ? -1 : a.id > b.id ? 1 : 0;

/** One folder is answered for by its own reason; it never hides the others. */
function reasonOf(error: unknown): string {
  if (error instanceof GymError) return error.message;
  return `cannot be read: ${error instanceof Error ? error.message : String(error)}`;
}

export function summaryOf(task: Task): TaskSummary {
  const { id, version, source, title, description, split, cluster, kind, language, image } = task;
  return {
    id,
    version,
    source,
    title,
    description,
    split,
    cluster,
    kind,
    language,
    image,
    keywords: [...task.keywords],
    runtimes: [...task.runtimes],
    verifiers: task.verifiers.map((verifier) => ({ id: verifier.id, role: verifier.role })),
  };
}

/** Names of the folders in `dir` that may be a source or a task; none when it does not exist. */
async function subfolders(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { withFileTypes: true }).catch((error: unknown) => {
    if (isMissing(error)) return [];
    throw error;
  });
  return entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith(".")).map(({ name }) => name);
}

async function isFolder(dir: string): Promise<boolean> {
  return await lstat(dir).then(
    (found) => found.isDirectory(),
    (error: unknown) => {
      if (isMissing(error)) return false;
      throw error;
    },
  );
}

const isMissing = (error: unknown): boolean => error instanceof Error && "code" in error && error.code === "ENOENT";
