import { GymError } from "../../core/errors.ts";
import type {
  ExecRequest,
  ExecResult,
  Programs,
  Sandbox,
  SandboxOpening,
  SandboxProcess,
  Shell,
  ShellOptions,
  Snapshot,
  SpawnRequest,
} from "../../core/sandbox.ts";
import { SubjectFault } from "./subject-fault.ts";

/**
 * A sandbox that holds the submission: when its own program kills it, that is the submission's fault (a score of 0), not
 * ours. What the tier could not do stays a GymError.
 */
export class GuardedSandbox implements Sandbox {
  readonly #inner: Sandbox;

  constructor(inner: Sandbox) {
    this.#inner = inner;
  }

  get id(): string {
    return this.#inner.id;
  }

  get image(): string {
    return this.#inner.image;
  }

  get opening(): SandboxOpening {
    return this.#inner.opening;
  }

  exec(request: ExecRequest, signal?: AbortSignal): Promise<ExecResult> {
    return this.#inner.exec(request, signal).catch(attribute);
  }

  async spawn(request: SpawnRequest): Promise<SandboxProcess> {
    const process = await this.#inner.spawn(request).catch(attribute);
    const exit = process.exit.catch(attribute);
    // Observed by whoever awaits it; this only keeps an unobserved one from ending our process.
    exit.catch(() => undefined);
    return {
      write: (data) => process.write(data).catch(attribute),
      closeStdin: () => process.closeStdin().catch(attribute),
      resize: (size) => process.resize(size).catch(attribute),
      signal: (name) => process.signal(name).catch(attribute),
      kill: () => process.kill(),
      waitedMs: () => process.waitedMs(),
      exit,
      [Symbol.asyncDispose]: () => process[Symbol.asyncDispose](),
    };
  }

  shell(options?: ShellOptions): Promise<Shell> {
    return this.#inner.shell(options).catch(attribute);
  }

  read(...args: Parameters<Sandbox["read"]>): ReturnType<Sandbox["read"]> {
    return this.#inner.read(...args).catch(attribute);
  }

  write(...args: Parameters<Sandbox["write"]>): ReturnType<Sandbox["write"]> {
    return this.#inner.write(...args).catch(attribute);
  }

  list(...args: Parameters<Sandbox["list"]>): ReturnType<Sandbox["list"]> {
    return this.#inner.list(...args).catch(attribute);
  }

  stat(path: string): ReturnType<Sandbox["stat"]> {
    return this.#inner.stat(path).catch(attribute);
  }

  remove(path: string): ReturnType<Sandbox["remove"]> {
    return this.#inner.remove(path).catch(attribute);
  }

  forward(...args: Parameters<Sandbox["forward"]>): Promise<void> {
    return this.#inner.forward(...args).catch(attribute);
  }

  programs(): Promise<Programs | null> {
    return this.#inner.programs().catch(attribute);
  }

  freeze(...args: Parameters<Sandbox["freeze"]>): Promise<Snapshot> {
    return this.#inner.freeze(...args).catch(attribute);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#inner.close();
  }
}

function attribute(error: unknown): never {
  if (error instanceof GymError && error.code === "sandbox_killed")
    throw new SubjectFault("sandbox_killed", "the submission's own program killed its sandbox");
  throw error;
}
