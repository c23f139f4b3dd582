import { GymError } from "../../core/errors.ts";
import { canonicalJson, type Digest, sha256 } from "../../core/ids.ts";
import { type DirectoryEntry, type Sandbox, WORKSPACE } from "../../core/sandbox.ts";

/** A look costs about as much as a small step, so one step in four has one: the first, the fifth and so on. */
const STEPS_BETWEEN = 4;
/** Bounds of a workspace that is read: within them a look costs less than the step. */
const MOST_ENTRIES = 32;
const MOST_BYTES = 128 * 1024;
const MOST_DEPTH = 8;
/** After a workspace was found too large, steps until it is looked at again: a listing of a large one is not cheap. */
const STEPS_APART = 50;
/** Folders that tools make anew by themselves, with times inside: a replay never makes the same bytes. */
const REMADE = /(^|\/)(__pycache__|\.pytest_cache|\.mypy_cache|\.ruff_cache|\.git)(\/|$)/;

/** Looks at the files of one live episode, so that a recovery can tell whether its replay made the same ones. */
export class WorkspaceView {
  #skip = 0;

  /** Of the step that has just run, where it is one that is looked at; see {@link look}. */
  async after(seq: number, sandbox: Sandbox): Promise<Digest | null> {
    return seq % STEPS_BETWEEN === 1 ? await this.look(sandbox) : null;
  }

  /** Digest of names, types, modes and contents of the workspace; null when it is too large, or cannot be read now. */
  async look(sandbox: Sandbox): Promise<Digest | null> {
    if (this.#skip-- > 0) return null;
    try {
      return await this.#read(sandbox);
    } catch (error) {
      if (error instanceof GymError) return null; // a sandbox that ends now tells so by the next step
      throw error;
    }
  }

  async #read(sandbox: Sandbox): Promise<Digest | null> {
    const listed = await sandbox.list(WORKSPACE, { depth: MOST_DEPTH, maxEntries: MOST_ENTRIES });
    const entries = listed.ok ? listed.value.filter(({ path }) => !REMADE.test(path)) : null;
    const bytes = entries?.reduce((sum, entry) => sum + (entry.type === "file" ? entry.size : 0), 0) ?? 0;
    this.#skip = entries === null || bytes > MOST_BYTES ? STEPS_APART : 0;
    if (entries === null || bytes > MOST_BYTES) return null;
    const contents = await Promise.all(entries.map((entry) => contentOf(sandbox, entry)));
    return sha256(canonicalJson(entries.map(({ path, type, mode }, at) => [path, type, mode, contents[at]])));
  }
}

async function contentOf(sandbox: Sandbox, { path, type }: DirectoryEntry): Promise<string | null> {
  if (type !== "file") return null;
  const read = await sandbox.read(`${WORKSPACE}/${path}`, { maxBytes: MOST_BYTES });
  return read.ok ? sha256(read.value) : read.error;
}
