import { GymError } from "../core/errors.ts";
import type { Digest } from "../core/ids.ts";
import { type ImageInfo, type Sandbox, type SandboxProvider, type Snapshot, WORKSPACE } from "../core/sandbox.ts";
import { EGRESS, type Task } from "../core/task.ts";
import { otherName, workdirMisfit } from "../core/workdir.ts";
import { isEmpty, isWorkspace, toolsInWorkspace } from "./base-workspace.ts";
import type { ImageGate } from "./images/gate.ts";

/** Bases kept beside those in use; each holds a small tmpfs layer. */
const MAX_IDLE_BASES = 256;
/** An idle base keeps its image from being removed no longer than this. */
const IDLE_MS = 10 * 60_000;
const SETUP_TIMEOUT_MS = 300_000;

interface Base {
  readonly snapshot: Snapshot;
  /** Another name of the workspace in it, a link; null: none. */
  readonly alias: string | null;
  /** Its workspace holds the task's own files and nothing else. */
  readonly plain: boolean;
  /** Tools of its image that an attempt could put others in the place of. */
  readonly toolsInside: ReadonlySet<string>;
}

/** A base in use. Dispose it when the last sandbox and export over it are done. */
export interface BaseLease extends Base, Disposable {}

interface Built extends Base {
  /** Its image, kept as long as the base. */
  readonly image: AsyncDisposable;
}

interface Entry {
  readonly ready: Promise<Built>;
  leases: number;
  usedAt: number;
}

/**
 * Bases by task version (runtime.md §5): image + starting files + setup, made once per process and shared by every episode
 * and verifier of that task. The least recently used idle ones are released beyond {@link MAX_IDLE_BASES}.
 */
export class Bases {
  readonly #provider: SandboxProvider;
  readonly #images: Pick<ImageGate, "lease">;
  readonly #entries = new Map<Digest, Entry>();

  constructor(provider: SandboxProvider, images: Pick<ImageGate, "lease">) {
    this.#provider = provider;
    this.#images = images;
  }

  /** One that was lost with its host is made again. */
  async lease(task: Task): Promise<BaseLease> {
    const entry = await this.#usable(task);
    let held = true;
    const { snapshot, alias, plain, toolsInside } = await entry.ready;
    return {
      ...{ snapshot, alias, plain, toolsInside },
      [Symbol.dispose]: () => {
        if (held) entry.leases--;
        held = false;
        entry.usedAt = Date.now();
        this.#evict();
      },
    };
  }

  async #usable(task: Task): Promise<Entry> {
    for (;;) {
      const entry = await this.#leased(task);
      const { snapshot, image } = await entry.ready;
      if (this.#provider.holds(snapshot)) return entry;
      entry.leases--;
      if (this.#entries.get(task.version) !== entry) continue;
      this.#entries.delete(task.version);
      await image[Symbol.asyncDispose]();
    }
  }

  async #leased(task: Task): Promise<Entry> {
    const entry = this.#entries.get(task.version) ?? { ready: this.#build(task), leases: 0, usedAt: 0 };
    this.#entries.delete(task.version);
    this.#entries.set(task.version, entry);
    entry.leases++;
    try {
      await entry.ready;
      return entry;
    } catch (error) {
      entry.leases--;
      if (this.#entries.get(task.version) === entry) this.#entries.delete(task.version);
      throw error;
    }
  }

  /** Lets go of what nothing used for {@link IDLE_MS}. */
  async tend(now = Date.now()): Promise<void> {
    for (const [version, entry] of this.#entries)
      if (entry.leases === 0 && now - entry.usedAt > IDLE_MS) await this.#release(version, entry);
  }

  async #build(task: Task): Promise<Built> {
    const image = await this.#images.lease(task);
    try {
      return { ...(await buildBase(this.#provider, task)), image };
    } catch (error) {
      await image[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #release(version: Digest, entry: Entry): Promise<void> {
    this.#entries.delete(version);
    const built = await entry.ready.catch(() => null); // it has told its failure to those who asked
    if (built === null) return;
    await this.#provider.release(built.snapshot);
    await built.image[Symbol.asyncDispose]();
  }

  #evict(): void {
    for (const [version, entry] of this.#entries) {
      if (this.#entries.size <= MAX_IDLE_BASES) return;
      if (entry.leases > 0) continue;
      // A release that fails is retried by the provider's reap.
      void this.#release(version, entry).catch(() => undefined);
    }
  }
}

async function buildBase(provider: SandboxProvider, task: Task): Promise<Base> {
  const image = await provider.image(task.image);
  needTools(task, Object.keys(image.runtimes));
  const claimed = workdirOf(task, image);
  const opening = { image: task.image, owner: `base-${task.id}`, limits: task.limits, workdir: claimed };
  const sandbox = await provider.open(opening);
  try {
    const plain = task.setup === null && (await isEmpty(sandbox));
    await putFiles(sandbox, task);
    if (task.setup !== null) await setUp(sandbox, task, task.setup);
    const alias = claimed !== null && (await isWorkspace(sandbox, claimed)) ? claimed : null;
    const toolsInside = plain ? new Set<string>() : await toolsInWorkspace(sandbox, image.runtimes);
    needTools(task, new Set(Object.keys(image.runtimes)).difference(toolsInside));
    return { snapshot: await sandbox.freeze(), alias, plain, toolsInside };
  } catch (error) {
    await sandbox.close();
    throw error;
  }
}

function needTools(task: Task, has: Iterable<string>): void {
  const there = new Set(has);
  const missing = task.runtimes.filter((name) => name !== EGRESS && !there.has(name));
  if (missing.length > 0)
    throw new GymError(
      "runtime_missing",
      `image ${task.image} has no ${missing.join(", ")} outside of the workspace, which ${task.id} needs`,
    );
}

async function putFiles(sandbox: Sandbox, task: Task): Promise<void> {
  for (const [path, file] of task.files) {
    const written = await sandbox.write(`${WORKSPACE}/${path}`, file.data, { mode: file.mode });
    if (!written.ok)
      throw new GymError(
        "task_invalid",
        `${task.id}: environment/${path} does not fit into a sandbox: ${written.message}`,
      );
  }
}

async function setUp(sandbox: Sandbox, task: Task, script: string): Promise<void> {
  const result = await sandbox.exec({ argv: ["bash", "-c", script], cwd: WORKSPACE, timeoutMs: SETUP_TIMEOUT_MS });
  if (result.exitCode !== 0)
    throw new GymError(
      "task_invalid",
      `${task.id}: setup ended with ${result.exitCode ?? result.signal}: ${Buffer.from(result.stderr).toString().slice(-500)}`,
    );
}

/**
 * The name that the task's working folder gives to the workspace. An image of its own was built with it. One that somebody
 * else made may name a folder that cannot be it: that matters only where the task has no files of its own in the workspace.
 */
function workdirOf(task: Task, image: ImageInfo): string | null {
  if (task.workdir !== null && task.context === null) return otherName(task.workdir);
  const misfit = workdirMisfit(image.workdir ?? "");
  if (misfit === null) return otherName(image.workdir);
  if (task.files.size > 0) return null;
  throw new GymError(
    "task_invalid",
    `${task.id}: the WORKDIR of image ${task.image} cannot be the workspace: ${misfit}; or set environment.workdir = "${WORKSPACE}" in task.toml`,
  );
}
