import { GymError } from "../../core/errors.ts";
import type { Sandbox } from "../../core/sandbox.ts";
import type { Room } from "../../core/verifier.ts";
import { CalledSubject, type CallOutcome, type SubjectCall } from "../calls/called-subject.ts";
import type { Deadline } from "../calls/deadline.ts";
import { programFor } from "../calls/program-text.ts";
import { interpreterOf, moduleName, type Target } from "../calls/subject-languages.ts";
import { SubjectFault } from "../clean-room/subject-fault.ts";

export type FunctionTarget = Extract<Target, { type: "functions" }>;

/** Starts the module of a target in a sandbox and begins its import. */
export async function openModule(
  room: Pick<Room, "interpreter">,
  options: { sandbox: Sandbox; target: FunctionTarget; importMs: number; deadline: Deadline },
): Promise<{ module: CalledSubject; loaded: ReturnType<CalledSubject["load"]> }> {
  const { sandbox, target, importMs, deadline } = options;
  const module = await CalledSubject.start({
    sandbox,
    program: await programFor("subject", target.language),
    interpreterPath: room.interpreter(interpreterOf(target.language)),
    wallMs: deadline.remainingMs(),
  });
  const loaded = module.load(moduleName(target.entry, target.language), Math.min(importMs, deadline.remainingMs()));
  // Told by whoever awaits it; a failure before that must not end our process.
  loaded.catch(() => undefined);
  return { module, loaded };
}

/** Gold's module: what kills or hangs it is an input that it rejects, and it is started anew. */
export class ReferenceModule implements AsyncDisposable {
  readonly #room: Pick<Room, "interpreter">;
  readonly #options: { sandbox: Sandbox; target: FunctionTarget; importMs: number; deadline: Deadline };
  #module: CalledSubject | null = null;
  #deaths = 0;

  constructor(
    room: Pick<Room, "interpreter">,
    options: { sandbox: Sandbox; target: FunctionTarget; importMs: number; deadline: Deadline },
  ) {
    this.#room = room;
    this.#options = options;
  }

  /** Calls on which gold died or hung. */
  get deaths(): number {
    return this.#deaths;
  }

  /** Null when gold died or took longer than `timeoutMs`. */
  async call(call: SubjectCall, timeoutMs: number): Promise<CallOutcome | null> {
    const module = await this.#started();
    try {
      return await module.call(call, timeoutMs);
    } catch (error) {
      if (!(error instanceof SubjectFault)) throw error;
      await module[Symbol.asyncDispose]();
      this.#module = null;
      this.#deaths++;
      return null;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#module?.[Symbol.asyncDispose]();
  }

  async #started(): Promise<CalledSubject> {
    if (this.#module !== null) return this.#module;
    const { module, loaded } = await openModule(this.#room, this.#options);
    this.#module = module;
    const raised = await asOurs(loaded);
    if (raised !== null)
      throw new GymError("verifier_failed", `gold cannot be imported: ${raised.name}: ${raised.message}`);
    return module;
  }
}

/** What gold did wrong is our failure, not the submission's. */
export async function asOurs<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof SubjectFault)
      throw new GymError("verifier_failed", `gold: ${error.message}`, { cause: error });
    throw error;
  }
}
