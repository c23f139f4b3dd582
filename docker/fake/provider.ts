import { GymError } from "../../core/errors.ts";
import { canonicalJson, type Digest, sha256 } from "../../core/ids.ts";
import {
  DEFAULT_SANDBOX_LIMITS,
  type ExportOptions,
  type FileResult,
  type ImageInfo,
  type ManifestEntry,
  type OpenRequest,
  type Sandbox,
  type SandboxCounts,
  type SandboxProvider,
  type SelfCheck,
  type Snapshot,
  type Submission,
  WORKSPACE,
} from "../../core/sandbox.ts";
import { type TarEntry, writeTar } from "../canonical-tar.ts";
import { FileTree, type TreeNode } from "./file-tree.ts";
import { FakeSandbox } from "./sandbox.ts";

/** Sandboxes in memory for unit tests: deterministic, no processes, any image name. What it cannot do: interpreter.ts. */
export class FakeProvider implements SandboxProvider {
  readonly tier = "fake";
  readonly freezesInPlace = true;
  readonly #open = new Set<FakeSandbox>();
  readonly #snapshots = new Map<string, FileTree>();
  #next = 1;

  async open(request: OpenRequest): Promise<Sandbox> {
    const limits = { ...DEFAULT_SANDBOX_LIMITS, ...request.limits };
    const from = request.from ? this.#tree(request.from) : undefined;
    const tree = new FileTree({ bytes: limits.diskBytes, inodes: limits.inodes }, from);
    const linked = !from && request.workdir ? tree.makeLink(WORKSPACE, request.workdir) : null;
    if (linked?.ok === false) throw new GymError("image_failed", `${request.workdir}: ${linked.message}`);
    const number = this.#next++;
    const sandbox: FakeSandbox = new FakeSandbox(tree, {
      id: `sb_${request.owner.replaceAll(/[^A-Za-z0-9._-]/g, "-").slice(0, 48)}-${number}`,
      image: request.image,
      env: { HOME: "/root", LANG: "C.UTF-8", PATH: "/usr/bin:/bin", ...request.env },
      forget: () => this.#open.delete(sandbox),
      freeze: (lost) => {
        this.#open.delete(sandbox);
        const id = `snap_${this.#next++}`;
        this.#snapshots.set(id, tree);
        return { id, image: request.image, imageDigest: digestOf(request.image), lost };
      },
    });
    this.#open.add(sandbox);
    return sandbox;
  }

  async fork(snapshot: Snapshot, n: number, request: Omit<OpenRequest, "from" | "image">): Promise<Sandbox[]> {
    return await Promise.all(
      Array.from({ length: n }, () => this.open({ ...request, image: snapshot.image, from: snapshot })),
    );
  }

  async export(base: Snapshot, snapshot: Snapshot, options: ExportOptions): Promise<FileResult<Submission>> {
    const root = options.root.replace(/(?<=.)\/+$/, "");
    const [old, now] = [this.#below(base, root), this.#below(snapshot, root)];
    const tree = this.#tree(snapshot);
    const found = tree.find(root);
    if (!found) return { ok: false, error: "not_found", message: root };
    if (found.node.type !== "directory") return { ok: false, error: "not_a_directory", message: root };
    const manifest: ManifestEntry[] = [];
    const entries: TarEntry[] = [];
    for (const [path, node] of now) {
      if (sameNode(old.get(path), node)) continue;
      manifest.push(manifestEntry(path, node));
      entries.push({ ...node, path });
    }
    for (const path of old.keys()) {
      const above = path.slice(0, Math.max(path.lastIndexOf("/"), 0));
      if (!now.has(path) && (above === "" || now.get(above)?.type === "directory"))
        manifest.push({ path, type: "deleted", mode: 0, size: 0, sha256: null });
    }
    const bytes = manifest.reduce((sum, entry) => sum + entry.size, 0);
    if (bytes > options.maxBytes || manifest.length > options.maxEntries)
      return { ok: false, error: "too_large", message: `${root}: ${manifest.length} entries, ${bytes} bytes` };
    const byPath = (a: { path: string }, b: { path: string }): number =>
      Buffer.compare(Buffer.from(a.path), Buffer.from(b.path));
    return {
      ok: true,
      value: { root, manifest: manifest.sort(byPath), tar: writeTar(entries.sort(byPath)), refused: [] },
    };
  }

  holds(snapshot: Snapshot): boolean {
    return this.#snapshots.has(snapshot.id);
  }

  async release(snapshot: Snapshot): Promise<void> {
    this.#snapshots.delete(snapshot.id);
  }

  async reap(): Promise<number> {
    return 0;
  }

  async image(name: string): Promise<ImageInfo> {
    return { image: name, digest: digestOf(name), workdir: null, runtimes: {} };
  }

  async selfCheck(): Promise<SelfCheck> {
    const missing = [{ what: "isolation: this tier runs no programs", advice: "use the light tier" }];
    return { tier: this.tier, mode: "none", enforced: ["disk and inode quota", "time-outs"], missing };
  }

  async counts(): Promise<SandboxCounts> {
    const snapshotBytes = [...this.#snapshots.values()].reduce((sum, tree) => sum + tree.bytes, 0);
    return { sandboxes: this.#open.size, snapshots: this.#snapshots.size, snapshotBytes };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open].map((sandbox) => sandbox.close()));
    this.#snapshots.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #tree(snapshot: Snapshot): FileTree {
    const tree = this.#snapshots.get(snapshot.id);
    if (!tree) throw new GymError("sandbox_lost", `snapshot ${snapshot.id} is not held by this process (any more)`);
    return tree;
  }

  #below(snapshot: Snapshot, root: string): Map<string, TreeNode> {
    const prefix = root === "/" ? "/" : `${root}/`;
    const entries = this.#tree(snapshot).entries();
    return new Map(
      entries
        .filter(([path]) => path !== "/" && path.startsWith(prefix))
        .map(([path, node]) => [path.slice(prefix.length), node]),
    );
  }
}

function digestOf(image: string): Digest {
  return sha256(canonicalJson(["fake", image]));
}

function sameNode(a: TreeNode | undefined, b: TreeNode): boolean {
  if (!a || a.type !== b.type || a.mode !== b.mode) return false;
  if (a.type === "file" && b.type === "file") return Buffer.compare(a.data, b.data) === 0;
  return a.type !== "symlink" || b.type !== "symlink" || a.target === b.target;
}

function manifestEntry(path: string, node: TreeNode): ManifestEntry {
  if (node.type === "file")
    return { path, type: "file", mode: node.mode, size: node.data.length, sha256: sha256(node.data) };
  if (node.type === "directory") return { path, type: "directory", mode: node.mode, size: 0, sha256: null };
  return { path, type: "symlink", mode: 0o777, size: 0, sha256: sha256(node.target) };
}
