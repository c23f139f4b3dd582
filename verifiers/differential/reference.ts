import { GymError } from "../../core/errors.ts";
import type { Room, TrustedServer } from "../../core/verifier.ts";
import { type CallOutcome, ownProcess, type StartModule, type SubjectCall } from "../calls/called-subject.ts";
import { type ModuleOptions, type OpenModule, openModule } from "../calls/open-module.ts";
import { programFor } from "../calls/program-text.ts";
import { interpreterOf } from "../calls/subject-languages.ts";
import { SubjectFault } from "../clean-room/subject-fault.ts";

type ReferenceRoom = Pick<Room, "interpreter" | "server" | "reference">;

/** Gold's module: what kills or hangs it is an input that it rejects, and it is started anew. */
export class ReferenceModule implements AsyncDisposable {
  readonly #room: ReferenceRoom;
  readonly #options: ModuleOptions;
  #open: (OpenModule & { readonly server: TrustedServer | null }) | null = null;
  #deaths = 0;

  constructor(room: ReferenceRoom, options: ModuleOptions) {
    this.#room = room;
    this.#options = options;
  }

  /** Calls on which gold died or hung. */
  get deaths(): number {
    return this.#deaths;
  }

  /** Null when gold died or took longer than `timeoutMs`. */
  async call(call: SubjectCall, timeoutMs: number): Promise<CallOutcome | null> {
    const { module } = await this.#started();
    try {
      return await module.call(call, timeoutMs);
    } catch (error) {
      if (!(error instanceof SubjectFault)) throw error;
      await this.#close();
      this.#deaths++;
      return null;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#open?.module.release();
    await this.#close();
  }

  async #started(): Promise<OpenModule> {
    if (this.#open !== null) return this.#open;
    const { start, server } = await this.#start();
    const opened = { ...(await openModule(start, this.#options)), server };
    this.#open = opened;
    const raised = await asOurs(opened.loaded);
    if (raised !== null)
      throw new GymError("verifier_failed", `gold cannot be imported: ${raised.name}: ${raised.message}`);
    return opened;
  }

  /** Python's is served, like a judge (open-judge.ts); JavaScript's has a sandbox of its own. */
  async #start(): Promise<{ start: StartModule; server: TrustedServer | null }> {
    const { target, deadline } = this.#options;
    const program = await programFor("reference", target.language);
    if (target.language === "python") {
      const server = await this.#room.server({ name: "reference", over: "reference", ...program });
      return { server, start: async (onChannel) => server.run(onChannel) };
    }
    const interpreterPath = this.#room.interpreter(interpreterOf(target.language));
    const sandbox = await this.#room.reference();
    return { server: null, start: ownProcess({ sandbox, program, interpreterPath, wallMs: deadline.remainingMs() }) };
  }

  async #close(): Promise<void> {
    const open = this.#open;
    this.#open = null;
    await open?.module[Symbol.asyncDispose]();
    await open?.server?.[Symbol.asyncDispose]();
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
