import type { Logger } from "pino";
import type { Framework } from "../core/framework.ts";
import type { ScriptedPolicy } from "../core/policy.ts";
import type { SandboxProvider } from "../core/sandbox.ts";
import type { Store } from "../core/store.ts";
import type { TaskCatalog } from "../core/task.ts";
import type { Verifier } from "../core/verifier.ts";
import type { Mailbox } from "../platform/mailbox.ts";
import type { Queues } from "../platform/queues.ts";
import type { ServerPool } from "../verifiers/clean-room/server-pool.ts";
import type { Bases } from "./bases.ts";
import type { SavePolicy } from "./episode/saving.ts";
import type { ImageGate } from "./images/gate.ts";

/** What every processor of a worker process works with. Built once, in worker.ts. */
export interface WorkerDeps {
  /** This process's id, fresh per boot: the owner's name on every term it holds. */
  readonly workerId: string;
  readonly store: Store;
  readonly queues: Queues;
  readonly mailbox: Mailbox;
  readonly provider: SandboxProvider;
  readonly bases: Bases;
  readonly images: ImageGate;
  /** Judges and references that serve one verification after the other. */
  readonly servers: ServerPool;
  readonly tasks: TaskCatalog;
  readonly frameworks: readonly Framework[];
  readonly verifiers: readonly Verifier[];
  readonly policies: readonly ScriptedPolicy[];
  /** How often a live episode is saved. */
  readonly saving: SavePolicy;
  /** Tasks reach the hosts that they declare. */
  /** Live episodes of one token over all workers; null: no bound. */
  readonly livePerToken: number | null;
  readonly egress: boolean;
  readonly log: Logger;
}
