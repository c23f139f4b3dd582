import { GymError } from "../../core/errors.ts";
import type { FreezeOptions, Snapshot } from "../../core/sandbox.ts";
import type { AgentConnection } from "../light/agent-connection.ts";
import { lostPrograms } from "../light/programs.ts";
import { LightSandbox, type SandboxHome } from "../light/sandbox.ts";

export interface ContainerHome extends SandboxHome {
  /** Has the container removed in the background. */
  discard(): void;
}

/** One open sandbox of the docker tier: the same agent, another way to freeze. */
export class ContainerSandbox extends LightSandbox {
  readonly #connection: AgentConnection;
  readonly #home: ContainerHome;

  constructor(connection: AgentConnection, home: ContainerHome) {
    super(connection, home);
    this.#connection = connection;
    this.#home = home;
  }

  /** The agent itself streams the frozen files, so the connection stays until they are here; it starts nothing any more. */
  override async freeze(options: FreezeOptions = {}): Promise<Snapshot> {
    try {
      return await this.#home.freeze(await lostPrograms(this.#connection), options);
    } finally {
      this.#connection.lose(new GymError("sandbox_unavailable", `sandbox ${this.id} was frozen`));
      this.#home.discard();
    }
  }
}
