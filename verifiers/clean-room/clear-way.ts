import { GymError } from "../../core/errors.ts";
import type { FileStat, Sandbox } from "../../core/sandbox.ts";
import type { Task } from "../../core/task.ts";
import { isWithin } from "../../core/workdir.ts";
import { type ApplyPlan, FlagList, foldersOf } from "./path-policy.ts";
import { protectionOf } from "./protected-names.ts";
import { accept } from "./subject-fault.ts";
import type { TarItem } from "./tar-reader.ts";

/** Beyond any image's folder. */
const MAX_ENTRIES = 10_000_000;
/** As deep as a sandbox lists. */
const MAX_DEPTH = 64;

interface Clearing {
  readonly plan: ApplyPlan;
  readonly task: Pick<Task, "allowedProtected">;
  readonly root: string;
}

/**
 * Makes room for a planned submission on a fresh base that has more than its task's files: images and setups bring files, folders
 * and links that nobody has told of.
 * Covers: what stands where the submission has a folder, and is none, is removed, a link as a link, so that no later write leaves
 * the workspace through it; so is whatever stands where it has a file or a link. Nothing behind a link is removed. Protected files of
 * the base stay, as those of the task do (path-policy.ts), and the flags name them. It takes one call for each folder looked into,
 * none for those that are new, and no program of the image. Does not cover: a sandbox in which programs run meanwhile.
 */
export async function clearWay(
  sandbox: Sandbox,
  { plan, task, root }: Clearing,
): Promise<Pick<ApplyPlan, "items" | "flags">> {
  const base = new BaseFiles(sandbox, root);
  const flags = new FlagList();
  const isProtected = (path: string) => protectionOf(path, task.allowedProtected) === "protected";
  const protectedBelow = async (folder: string) => (await base.filesBelow(folder)).filter(isProtected);

  for (const path of plan.deleted) {
    const kept = (await base.typeOf(path)) === "directory" ? await protectedBelow(path) : [];
    for (const name of kept) flags.add("protected_path", `${name} (deleted)`);
    await base.remove(path, kept);
  }
  /** Files in the place of which a folder may not be put. */
  const standing: string[] = [];
  const items: TarItem[] = [];
  for (const item of plan.items) {
    if (await mayStand(item)) items.push(item);
    else flags.add("protected_path", item.path);
  }
  return { items, flags: flags.list };

  async function mayStand(item: TarItem): Promise<boolean> {
    if (standing.some((file) => isWithin(file, item.path))) return false;
    for (const folder of foldersOf(item)) {
      const found = await base.typeOf(folder);
      if (found === null) return true;
      if (found === "directory") continue;
      if (isProtected(folder)) {
        standing.push(folder);
        return false;
      }
      await base.remove(folder);
      return true;
    }
    if (item.type === "directory") return true;
    if ((await base.typeOf(item.path)) === "directory" && (await protectedBelow(item.path)).length > 0) return false;
    await base.remove(item.path);
    return true;
  }
}

/** What lies below a folder of a sandbox in which nothing else changes it; a path through a link is nothing there. */
class BaseFiles {
  readonly #sandbox: Sandbox;
  readonly #root: string;
  readonly #folders = new Map<string, Map<string, FileStat["type"]>>();

  constructor(sandbox: Sandbox, root: string) {
    this.#sandbox = sandbox;
    this.#root = root;
  }

  async typeOf(path: string): Promise<FileStat["type"] | null> {
    const cut = path.lastIndexOf("/");
    const parent = cut < 0 ? "" : path.slice(0, cut);
    if (parent !== "" && (await this.typeOf(parent)) !== "directory") return null;
    return (await this.#entriesOf(parent)).get(path.slice(cut + 1)) ?? null;
  }

  /** Everything below that is no folder. */
  async filesBelow(folder: string): Promise<string[]> {
    const below = await this.#list(folder, MAX_DEPTH);
    return below.flatMap(({ path, type }) => (type === "directory" ? [] : [`${folder}/${path}`]));
  }

  /** Removes what is there, but for some files below it and the folders they are in. */
  async remove(path: string, kept: readonly string[] = []): Promise<void> {
    if ((await this.typeOf(path)) === null) return;
    if (kept.includes(path)) return;
    const inside = kept.filter((file) => file.startsWith(`${path}/`));
    if (inside.length > 0) {
      for (const name of [...(await this.#entriesOf(path)).keys()]) await this.remove(`${path}/${name}`, inside);
      return;
    }
    accept(await this.#sandbox.remove(`${this.#root}/${path}`), path, ["not_found"]);
    const cut = path.lastIndexOf("/");
    this.#folders.get(cut < 0 ? "" : path.slice(0, cut))?.delete(path.slice(cut + 1));
  }

  async #entriesOf(folder: string): Promise<Map<string, FileStat["type"]>> {
    const known = this.#folders.get(folder);
    if (known !== undefined) return known;
    const entries = new Map((await this.#list(folder, 1)).map(({ path, type }) => [path, type]));
    this.#folders.set(folder, entries);
    return entries;
  }

  async #list(folder: string, depth: number): Promise<readonly (FileStat & { readonly path: string })[]> {
    const place = folder === "" ? this.#root : `${this.#root}/${folder}`;
    const listed = await this.#sandbox.list(place, { depth, maxEntries: MAX_ENTRIES });
    if (!listed.ok) throw new GymError("verifier_failed", `the base's ${place} cannot be listed: ${listed.message}`);
    return listed.value;
  }
}
