import type { Logger } from "pino";
import type { Framework } from "../core/framework.ts";
import type { Presence, ServerMail } from "../core/mail.ts";
import type { ScriptedPolicy } from "../core/policy.ts";
import type { Store } from "../core/store.ts";
import type { TaskCatalog } from "../core/task.ts";
import type { Verifier } from "../core/verifier.ts";
import type { Config } from "../platform/config.ts";
import type { ImageBoard } from "../platform/image-board.ts";
import type { Mailbox } from "../platform/mailbox.ts";
import type { Metrics } from "../platform/metrics.ts";
import type { Queues } from "../platform/queues.ts";
import type { Cells } from "./cells.ts";
import type { MailHub } from "./hub.ts";
import type { Occupancy } from "./occupancy.ts";

/** What there is to run. */
export interface Catalog {
  readonly tasks: TaskCatalog;
  readonly frameworks: readonly Framework[];
  readonly verifiers: readonly Verifier[];
  readonly policies: readonly ScriptedPolicy[];
  /** Names of the formats that an import may have. */
  readonly formats: readonly string[];
}

/** What the server is built from; main.ts opens and closes it. */
export interface ServerDeps {
  /** Id of this process; names its reply stream. */
  readonly serverId: string;
  readonly config: Pick<Config, "version" | "episodesPerToken">;
  readonly store: Store;
  readonly queues: Queues;
  readonly mailbox: Mailbox;
  readonly catalog: Catalog;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly images: ImageBoard;
  /** Stall of the event loop, p99 in ms. */
  readonly loopP99: () => number;
  /** Starts reading this server's reply stream. */
  readonly readMail: (onMail: (mail: ServerMail) => void) => { close(): Promise<void> };
  /** Worker processes that are alive. */
  readonly workers: () => Promise<Presence[]>;
  /** What is wrong with Redis, as text; empty when nothing is. */
  readonly checkRedis: () => Promise<string[]>;
}

/** What the logic behind the routes works with. */
export interface Parts extends ServerDeps {
  readonly hub: MailHub;
  readonly cells: Cells;
  readonly occupancy: Occupancy;
}
