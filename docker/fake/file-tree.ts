import type { DirectoryEntry, FileErrorCode, FileResult, FileStat } from "../../core/sandbox.ts";

export type TreeNode =
  | { readonly type: "file"; readonly mode: number; readonly data: Uint8Array }
  | { readonly type: "directory"; readonly mode: number }
  | { readonly type: "symlink"; readonly mode: number; readonly target: string };

const MAX_LINKS = 40;

function fail(error: FileErrorCode, message: string): { ok: false; error: FileErrorCode; message: string } {
  return { ok: false, error, message };
}

/** Files in memory: absolute canonical path → node. Copying one is how the fake tier freezes and forks. */
export class FileTree {
  readonly #nodes: Map<string, TreeNode>;
  readonly #limits: { readonly bytes: number; readonly inodes: number };

  constructor(limits: { readonly bytes: number; readonly inodes: number }, from?: FileTree) {
    this.#limits = limits;
    this.#nodes = new Map(from?.entries() ?? [["/", { type: "directory", mode: 0o755 }]]);
    for (const folder of ["/workspace", "/tmp", "/root"]) {
      if (!this.#nodes.has(folder)) this.#nodes.set(folder, { type: "directory", mode: 0o755 });
    }
  }

  /** Of all files. */
  get bytes(): number {
    let sum = 0;
    for (const node of this.#nodes.values()) if (node.type === "file") sum += node.data.length;
    return sum;
  }

  entries(): [string, TreeNode][] {
    return [...this.#nodes];
  }

  /** The node at a path, its links followed unless `keepLast`; the canonical path beside it. */
  find(path: string, keepLast = false): { path: string; node: TreeNode } | null {
    let parts = path.split("/").filter((part) => part !== "" && part !== ".");
    let at = "";
    for (let links = 0; parts.length > 0; ) {
      const [part = "", ...rest] = parts;
      parts = rest;
      if (part === "..") {
        at = at.slice(0, Math.max(at.lastIndexOf("/"), 0));
        continue;
      }
      const next = `${at}/${part}`;
      const node = this.#nodes.get(next);
      if (!node) return null;
      if (node.type !== "symlink" || (keepLast && parts.length === 0)) {
        at = next;
        continue;
      }
      if (++links > MAX_LINKS) return null;
      if (node.target.startsWith("/")) at = "";
      parts = [...node.target.split("/").filter((one) => one !== "" && one !== "."), ...parts];
    }
    const node = this.#nodes.get(at || "/");
    return node ? { path: at || "/", node } : null;
  }

  read(path: string, maxBytes: number): FileResult<Uint8Array> {
    const found = this.find(path);
    if (!found) return fail("not_found", path);
    if (found.node.type !== "file") return fail("not_a_file", path);
    if (found.node.data.length > maxBytes) return fail("too_large", path);
    return { ok: true, value: Uint8Array.from(found.node.data) };
  }

  write(path: string, data: Uint8Array, mode?: number): FileResult<void> {
    const existing = this.find(path);
    if (existing && existing.node.type !== "file") return fail("not_a_file", path);
    if (path.endsWith("/")) return fail("not_a_file", path);
    const target = existing ?? this.#parentOf(path);
    if ("error" in target) return target;
    const before = existing?.node.type === "file" ? existing.node : null;
    if (this.bytes - (before?.data.length ?? 0) + data.length > this.#limits.bytes) return fail("no_space", path);
    if (!before && this.#nodes.size >= this.#limits.inodes) return fail("no_space", path);
    this.#nodes.set(target.path, { type: "file", mode: mode ?? before?.mode ?? 0o644, data: Uint8Array.from(data) });
    return { ok: true, value: undefined };
  }

  makeDirectory(path: string): FileResult<void> {
    const existing = this.find(path);
    if (existing)
      return existing.node.type === "directory" ? { ok: true, value: undefined } : fail("not_a_directory", path);
    const target = this.#parentOf(path);
    if ("error" in target) return target;
    this.#nodes.set(target.path, { type: "directory", mode: 0o755 });
    return { ok: true, value: undefined };
  }

  makeLink(target: string, path: string): FileResult<void> {
    if (this.find(path, true)) return fail("other", `${path} exists`);
    const place = this.#parentOf(path);
    if ("error" in place) return place;
    this.#nodes.set(place.path, { type: "symlink", mode: 0o777, target });
    return { ok: true, value: undefined };
  }

  stat(path: string): FileResult<FileStat> {
    const found = this.find(path);
    return found ? { ok: true, value: statOf(found.node) } : fail("not_found", path);
  }

  list(path: string, depth: number, maxEntries: number): FileResult<DirectoryEntry[]> {
    const found = this.find(path);
    if (!found) return fail("not_found", path);
    if (found.node.type !== "directory") return fail("not_a_directory", path);
    const prefix = found.path === "/" ? "/" : `${found.path}/`;
    const entries = [...this.#nodes]
      .filter(([at]) => at !== "/" && at.startsWith(prefix) && at.slice(prefix.length).split("/").length <= depth)
      .map(([at, node]) => {
        const relative = at.slice(prefix.length);
        return { ...statOf(node), path: relative, rawPath: Uint8Array.from(Buffer.from(relative)) };
      });
    if (entries.length > maxEntries) return fail("too_large", `${path} has more than ${maxEntries} entries`);
    return { ok: true, value: entries.sort((a, b) => Buffer.compare(a.rawPath, b.rawPath)) };
  }

  remove(path: string): FileResult<void> {
    const found = this.find(path.replace(/(?<=.)\/+$/, ""), true);
    if (!found) return fail("not_found", path);
    if (found.path === "/") return fail("invalid_path", path);
    for (const at of [...this.#nodes.keys()]) {
      if (at === found.path || at.startsWith(`${found.path}/`)) this.#nodes.delete(at);
    }
    return { ok: true, value: undefined };
  }

  /** The canonical path for a new entry; makes missing folders above it. */
  #parentOf(path: string): { path: string } | ReturnType<typeof fail> {
    const clean = path.replaceAll(/\/+/g, "/").replace(/\/$/, "");
    const slash = clean.lastIndexOf("/");
    const name = clean.slice(slash + 1);
    const above = clean.slice(0, slash) || "/";
    if (name === "" || name === "." || name === "..") return fail("invalid_path", path);
    if (!this.find(above)) {
      const made = this.makeDirectory(above);
      if (!made.ok) return made;
    }
    const parent = this.find(above);
    if (parent?.node.type !== "directory") return fail("not_a_directory", path);
    return { path: parent.path === "/" ? `/${name}` : `${parent.path}/${name}` };
  }
}

function statOf(node: TreeNode): FileStat {
  const size = node.type === "file" ? node.data.length : node.type === "symlink" ? Buffer.byteLength(node.target) : 0;
  return { type: node.type, size, mode: node.mode };
}
