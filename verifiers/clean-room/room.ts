import { GymError } from "../../core/errors.ts";
import type { ImageInfo, Sandbox, SandboxProvider, Snapshot, Submission } from "../../core/sandbox.ts";
import { WORKSPACE } from "../../core/sandbox.ts";
import type { FileTree, Task, TaskVerifier } from "../../core/task.ts";
import type { CodeCache, Flag, Room, RoomLimits, ServerProgram, TrustedServer } from "../../core/verifier.ts";
import { isWithin } from "../../core/workdir.ts";
import { applyGold, applyOverlay, applyPlan } from "./apply.ts";
import { GuardedSandbox } from "./guarded-sandbox.ts";
import type { ApplyPlan } from "./path-policy.ts";
import type { Lease, ServerPool } from "./server-pool.ts";
import { ServerProcess } from "./server-process.ts";
import { SubjectFault } from "./subject-fault.ts";

export interface RoomOptions {
  readonly provider: SandboxProvider;
  readonly image: ImageInfo;
  readonly task: Task;
  readonly entry: TaskVerifier;
  readonly base: Snapshot;
  /** Another name of the workspace in the base. (Default: none) */
  readonly alias?: string | null;
  /** The base's workspace holds the task's own files and nothing else. (Default: false, nobody knows) */
  readonly plain?: boolean;
  /** Tools of the image that an attempt could put others in the place of. (Default: none but those in the workspace) */
  readonly toolsInside?: ReadonlySet<string>;
  readonly submission: Submission;
  readonly plan: ApplyPlan;
  readonly servers: ServerPool;
  readonly seed: number;
  readonly limits: RoomLimits;
  readonly signal: AbortSignal;
}

/**
 * Where one verifier works.
 * Covers: every sandbox is opened for this run alone, from the base or the bare image, with the tier's own environment (the
 * episode's is not carried over); judge and reference never hold anything of the submission. All are closed with the room.
 * Only servers outlive it (server-process.ts): they hear of a submission what its calls answer, and nothing else.
 */
export class CleanRoom implements Room, AsyncDisposable {
  readonly task: Task;
  readonly config: TaskVerifier["config"];
  readonly files: FileTree;
  readonly submission: Submission;
  readonly limits: RoomLimits;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly #options: RoomOptions;
  readonly #open = new Set<Promise<Sandbox>>();
  readonly #leases = new Set<Promise<Lease>>();
  #closed = false;
  #subjects = 0;
  #flags: readonly Flag[] = [];
  /** Base plus submission as a layer, made when a second subject is asked for. */
  #applied: Promise<Snapshot> | null = null;

  constructor(options: RoomOptions) {
    this.#options = options;
    this.task = options.task;
    this.config = options.entry.config;
    this.files = options.entry.files;
    this.submission = options.submission;
    this.limits = options.limits;
    this.seed = options.seed;
    this.signal = options.signal;
  }

  /** What only the base could tell of the submission, once it was applied. */
  get flags(): readonly Flag[] {
    return this.#flags;
  }

  interpreter(name: string): string {
    const found = this.#options.image.runtimes[name];
    if (found === undefined) throw new GymError("runtime_missing", `image ${this.task.image} has no ${name}`);
    const { alias = null, toolsInside } = this.#options;
    const named = [WORKSPACE, alias].some((folder) => folder !== null && isWithin(folder, found.path));
    if (named || toolsInside?.has(name))
      throw new GymError(
        "runtime_missing",
        `${found.path} of image ${this.task.image} lies in the workspace: no ${name}`,
      );
    return found.path;
  }

  async subject(overlay?: FileTree, cleared: readonly string[] = []): Promise<Sandbox> {
    const first = this.#subjects++ === 0;
    const guarded = first ? await this.#freshSubject() : await this.#nextSubject();
    const links = this.#options.plan.items.flatMap((item) => (item.type === "symlink" ? [item.path] : []));
    const { plain = false } = this.#options;
    if (overlay !== undefined) await applyOverlay(guarded, { files: overlay, cleared, links, plain });
    return guarded;
  }

  async reference(overlay?: FileTree): Promise<Sandbox> {
    const sandbox = await this.#track(this.#freshReference());
    if (overlay !== undefined) await this.#putTrusted(sandbox, overlay);
    return sandbox;
  }

  async judge(files?: FileTree): Promise<Sandbox> {
    const sandbox = await this.#track(this.#bareImage());
    if (files !== undefined) await this.#putTrusted(sandbox, files);
    return sandbox;
  }

  async server(program: ServerProgram): Promise<TrustedServer> {
    const interpreterPath = this.interpreter(program.interpreter);
    const kind = `${this.#interpreterId(program.interpreter)} ${program.name}`;
    const lending = this.#options.servers.lend({
      key: program.over === "image" ? kind : `${kind} ${this.task.version}`,
      start: async () => {
        const sandbox = program.over === "image" ? await this.#bareImage() : await this.#freshReference();
        return ServerProcess.start({ sandbox, interpreterPath, argv: program.argv });
      },
    });
    this.#leases.add(lending);
    const lease = await lending;
    if (!this.#closed) return lease;
    await lease[Symbol.asyncDispose]();
    throw ended();
  }

  compiled(interpreter: string): CodeCache {
    return this.#options.servers.compiled.of(this.#interpreterId(interpreter));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    const [opened, lent] = await Promise.all([Promise.allSettled(this.#open), Promise.allSettled(this.#leases)]);
    const sandboxes = opened.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    const leases = lent.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    const closed = await Promise.allSettled([
      ...sandboxes.map((sandbox) => sandbox.close()),
      ...leases.map((lease) => lease.revoke()),
    ]);
    const snapshot = await this.#applied?.catch(() => null);
    if (snapshot) await this.#options.provider.release(snapshot);
    const failed = closed.find((one) => one.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  #interpreterId(name: string): string {
    return `${this.#options.image.digest} ${this.interpreter(name)}`;
  }

  async #freshSubject(): Promise<GuardedSandbox> {
    const sandbox = await this.#track(this.#fromBase(this.#options.base));
    const guarded = new GuardedSandbox(sandbox);
    const { plan, plain = false } = this.#options;
    this.#flags = await applyPlan(guarded, { plan, task: this.task, root: this.submission.root, plain });
    return guarded;
  }

  async #nextSubject(): Promise<GuardedSandbox> {
    this.#applied ??= this.#freshSubject().then((sandbox) => sandbox.freeze());
    return new GuardedSandbox(await this.#track(this.#fromBase(await this.#applied)));
  }

  async #freshReference(): Promise<Sandbox> {
    const sandbox = await this.#fromBase(this.#options.base);
    try {
      await applyGold(sandbox, this.task.gold);
      return sandbox;
    } catch (error) {
      await sandbox.close();
      throw error;
    }
  }

  /** Where nothing of the submission is, what fails is ours. */
  async #putTrusted(sandbox: Sandbox, files: FileTree): Promise<void> {
    try {
      await applyOverlay(sandbox, { files, plain: this.#options.plain ?? false });
    } catch (error) {
      if (error instanceof SubjectFault) throw new GymError("verifier_failed", error.message, { cause: error });
      throw error;
    }
  }

  #bareImage(): Promise<Sandbox> {
    return this.#options.provider.open({ image: this.task.image, owner: this.#options.entry.id });
  }

  #fromBase(from: Snapshot): Promise<Sandbox> {
    const { provider, task, entry } = this.#options;
    return provider.open({ image: task.image, from, limits: task.limits, owner: entry.id });
  }

  async #track(opening: Promise<Sandbox>): Promise<Sandbox> {
    this.#open.add(opening);
    const sandbox = await opening;
    if (!this.#closed) return sandbox;
    await sandbox.close();
    throw ended();
  }
}

const ended = () => new GymError("verifier_failed", "the verification has ended");

/** The workspace is where every path of a task starts. */
export const workspacePath = (path: string): string => `${WORKSPACE}/${path}`;
