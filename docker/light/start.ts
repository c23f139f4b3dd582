import { connect } from "node:net";
import { GymError } from "../../core/errors.ts";
import { DEFAULT_SANDBOX_LIMITS, type SandboxLimits } from "../../core/sandbox.ts";
import type { Warm } from "../warm-pool.ts";
import { AgentConnection } from "./agent-connection.ts";
import { Payload } from "./frames.ts";
import type { HostProcess, SandboxEnd } from "./host-process.ts";

/** Memory that files may not take: the agent, small commands and the kernel's own share. */
const RESERVE = 64 * 1024 * 1024;

export interface StartFields {
  /** Number of the image at the host. */
  readonly image: number;
  /** Number of the image's mount that an exporter shows. (Default: 0) */
  readonly mount?: number;
  readonly limits: SandboxLimits;
  /** Frozen layers below it, topmost first. */
  readonly layers: readonly number[];
  /** Makes it an exporter: the layers of the state to compare with. */
  readonly old?: readonly number[];
  /** Base environment of every command. (Default: set later, with {@link setBaseEnv}) */
  readonly env?: readonly string[];
}

/** A sandbox whose agent runs. Whoever has it removes or freezes it. */
export interface StartedSandbox extends Warm {
  /** Its number at the host. */
  readonly number: number;
  readonly host: HostProcess;
  readonly layers: readonly number[];
  readonly connection: AgentConnection;
  /** Kills all that runs in it; its files become frozen layer `layer`. Instead of remove. */
  freeze(layer: number): Promise<void>;
}

/** Makes a sandbox or an exporter and waits for its agent. Nothing is left of one that fails. */
export async function startSandbox(host: HostProcess, fields: StartFields): Promise<StartedSandbox> {
  const number = host.nextSandbox();
  await host.request(fields.old ? "E" : "C", startPayload(number, fields));
  const ended = Promise.withResolvers<GymError>();
  host.onEnd(number, (end) => ended.resolve(endError(host, end)));
  const connection = AgentConnection.begin(connect(host.socketPath(number)));
  connection.ended.then(async () => connection.lose(await ended.promise)).catch(() => undefined);
  let removing: Promise<void> | null = null;
  const remove = async (): Promise<void> => {
    connection.lose(new GymError("sandbox_unavailable", "the sandbox is being removed"));
    if (host.alive) await host.request("D", new Payload().u32(number)).catch(() => undefined); // gone with its host
    host.forget(number);
  };
  const started: StartedSandbox = {
    ...{ number, host, connection, layers: fields.layers },
    remove: () => (removing ??= remove()),
    freeze: async (layer) => {
      await host.request("F", new Payload().u32(number).u32(layer));
      host.forget(number);
    },
  };
  try {
    // The environment follows the connection at once: its answer also says that the agent runs.
    await (fields.env ? setBaseEnv(started, fields.env) : connection.alive());
    return started;
  } catch (error) {
    await started.remove();
    throw error;
  }
}

/** Entries are NAME=value. Also how a sandbox that waited proves that it answers. */
export async function setBaseEnv({ connection }: StartedSandbox, env: readonly string[]): Promise<void> {
  await connection.request("B", new Payload().strings(env));
}

/** A sandbox that ends while its host lives was ended by what ran in it. */
function endError(host: HostProcess, { outOfMemory, status, reason }: SandboxEnd): GymError {
  if (!host.alive) return new GymError("sandbox_lost", reason);
  if (reason) return new GymError("sandbox_unavailable", reason, { retryable: true });
  const how = outOfMemory ? "it ran out of memory" : `its first process ended with status ${status}`;
  return new GymError("sandbox_killed", `the sandbox was killed by its own program: ${how}`);
}

export function boundLimits(requested: Partial<SandboxLimits> = {}): SandboxLimits {
  const limits = { ...DEFAULT_SANDBOX_LIMITS, ...requested };
  const memoryBytes = Math.max(limits.memoryBytes, RESERVE);
  const shared = Math.min(memoryBytes / 8, RESERVE);
  const room = Math.max(memoryBytes - RESERVE - shared, 4 * 1024 * 1024);
  return { ...limits, memoryBytes, diskBytes: Math.min(limits.diskBytes, room) };
}

function startPayload(number: number, fields: StartFields): Payload {
  const { limits, image, mount = 0 } = fields;
  const payload = new Payload().u32(number).u32(image).u32(mount);
  payload.u64(Math.floor(limits.memoryBytes)).u64(Math.floor(limits.diskBytes)).u64(limits.inodes);
  payload.u32(limits.processes).u32(Math.max(1, Math.round(limits.cpus * 1000)));
  for (const layers of fields.old ? [fields.layers, fields.old] : [fields.layers]) {
    payload.u32(layers.length);
    for (const layer of layers) payload.u32(layer);
  }
  return payload;
}
