import { GymError } from "../core/errors.ts";
import type { Digest } from "../core/ids.ts";
import { type SandboxProvider, type Snapshot, WORKSPACE } from "../core/sandbox.ts";
import type { Task } from "../core/task.ts";

/** Bases kept beside those in use; each holds a small tmpfs layer. */
const MAX_IDLE_BASES = 256;
const SETUP_TIMEOUT_MS = 300_000;

/** A base in use. Dispose it when the last sandbox and export over it are done. */
export interface BaseLease extends Disposable {
  readonly snapshot: Snapshot;
}

interface Entry {
  readonly ready: Promise<Snapshot>;
  leases: number;
}

/**
 * Bases by task version (runtime.md §5): image + starting files + setup, made once per process and shared by every episode
 * and verifier of that task. The least recently used idle ones are released beyond {@link MAX_IDLE_BASES}.
 */
export class Bases {
  readonly #provider: SandboxProvider;
  readonly #entries = new Map<Digest, Entry>();

  constructor(provider: SandboxProvider) {
    this.#provider = provider;
  }

  /** One that was lost with its host is made again. */
  async lease(task: Task): Promise<BaseLease> {
    const entry = await this.#usable(task);
    let held = true;
    return {
      snapshot: await entry.ready,
      [Symbol.dispose]: () => {
        if (held) entry.leases--;
        held = false;
        this.#evict();
      },
    };
  }

  async #usable(task: Task): Promise<Entry> {
    for (;;) {
      const entry = await this.#leased(task);
      if (this.#provider.holds(await entry.ready)) return entry;
      entry.leases--;
      if (this.#entries.get(task.version) === entry) this.#entries.delete(task.version);
    }
  }

  async #leased(task: Task): Promise<Entry> {
    const entry = this.#entries.get(task.version) ?? { ready: buildBase(this.#provider, task), leases: 0 };
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

  #evict(): void {
    for (const [version, entry] of this.#entries) {
      if (this.#entries.size <= MAX_IDLE_BASES) return;
      if (entry.leases > 0) continue;
      this.#entries.delete(version);
      // A release that fails is retried by the provider's reap.
      void entry.ready.then((snapshot) => this.#provider.release(snapshot)).catch(() => undefined);
    }
  }
}

async function buildBase(provider: SandboxProvider, task: Task): Promise<Snapshot> {
  const image = await provider.image(task.image);
  const missing = task.runtimes.filter((name) => !(name in image.runtimes));
  if (missing.length > 0)
    throw new GymError("runtime_missing", `image ${task.image} has no ${missing.join(", ")}, which ${task.id} needs`);
  const sandbox = await provider.open({ image: task.image, owner: `base-${task.id}`, limits: task.limits });
  try {
    for (const [path, file] of task.files) {
      const written = await sandbox.write(`${WORKSPACE}/${path}`, file.data, { mode: file.mode });
      if (!written.ok)
        throw new GymError(
          "task_invalid",
          `${task.id}: environment/${path} does not fit into a sandbox: ${written.message}`,
        );
    }
    if (task.setup !== null) {
      const result = await sandbox.exec({
        argv: ["bash", "-c", task.setup],
        cwd: WORKSPACE,
        timeoutMs: SETUP_TIMEOUT_MS,
      });
      if (result.exitCode !== 0)
        throw new GymError(
          "task_invalid",
          `${task.id}: setup ended with ${result.exitCode ?? result.signal}: ${Buffer.from(result.stderr).toString().slice(-500)}`,
        );
    }
    return await sandbox.freeze();
  } catch (error) {
    await sandbox.close();
    throw error;
  }
}
