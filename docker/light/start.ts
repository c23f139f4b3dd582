import { connect } from "node:net";
import { constants } from "node:os";
import { GymError } from "../../core/errors.ts";
import { DEFAULT_SANDBOX_LIMITS, type SandboxLimits, type SandboxOpening } from "../../core/sandbox.ts";
import type { Warm } from "../warm-pool.ts";
import { AgentConnection } from "./agent-connection.ts";
import { Payload, PayloadReader } from "./frames.ts";
import type { HostProcess, SandboxEnd } from "./host-process.ts";
import type { LayerSize } from "./snapshots.ts";

/** Memory that files may not take: the agent, small commands and the kernel's own share. */
const RESERVE = 64 * 1024 * 1024;
/** What a sandbox may still write when its frozen layers have used up its quota: its own folders, and an error message. */
const LEAST_DISK = 64 * 1024;
const LEAST_INODES = 64;
/** Bit of the memory group in {@link HostProcess.abilities}. */
const MEMORY_GROUP = 1;

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
  /**
   * Kills all that runs in it; its files become frozen layer `layer`. Instead of remove. Null when all frozen layers would
   * then hold more than `budget` bytes: it goes on as it was.
   */
  freeze(layer: number, budget: number): Promise<LayerSize | null>;
}

/** One with how it was started: what a pool keeps and a caller gets. */
export interface OpenedSandbox extends StartedSandbox {
  readonly opening: SandboxOpening;
}

/** Makes a sandbox or an exporter and waits for its agent. Nothing is left of one that fails. */
export async function startSandbox(host: HostProcess, fields: StartFields): Promise<StartedSandbox> {
  const number = host.nextSandbox();
  const ended = Promise.withResolvers<GymError>();
  // Before it is made: its end may come in one piece with the answer.
  host.onEnd(number, (end) => ended.resolve(endError(host, end)));
  try {
    await host.request(fields.old ? "E" : "C", startPayload(number, fields));
  } catch (error) {
    host.forget(number);
    throw error;
  }
  const socket = connect(host.socketPath(number));
  // One that is refused has no agent any more, which its host tells. All else says nothing of the sandbox.
  socket.once("error", (cause: NodeJS.ErrnoException) => {
    if (cause.syscall === "connect" && cause.code !== "ECONNREFUSED")
      ended.resolve(new GymError("sandbox_lost", `no connection to the sandbox: ${cause.message}`, { cause }));
  });
  const connection = AgentConnection.begin(socket);
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
    freeze: async (layer, budget) => {
      const size = readLayer(await host.request("F", new Payload().u32(number).u32(layer).u64(budget)));
      if (size !== null) host.forget(number);
      return size;
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

/**
 * A sandbox that ends while its host lives was ended by what ran in it: also by a crash of its first process, or a zero could
 * be made nobody's fault. But no signal from inside kills a first process (pid_namespaces(7)), and where the memory of the
 * sandbox is bounded its out-of-memory kills are counted; so a kill without one came from outside.
 */
export function endError(
  host: Pick<HostProcess, "alive" | "abilities">,
  { outOfMemory, status, reason }: SandboxEnd,
): GymError {
  if (!host.alive) return new GymError("sandbox_lost", reason);
  if (reason) return new GymError("sandbox_unavailable", reason, { retryable: true });
  if (status === constants.signals.SIGKILL && !outOfMemory && (host.abilities.groups & MEMORY_GROUP) !== 0)
    return new GymError("sandbox_lost", "the sandbox's first process was killed from outside");
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

/** Frozen layers below count against the quota of files: freezing again and again pins no more than the limit. */
export function limitsAbove(limits: SandboxLimits, frozen: LayerSize): SandboxLimits {
  if (frozen.inodes === 0) return limits;
  const diskBytes = Math.max(limits.diskBytes - frozen.bytes, LEAST_DISK);
  return { ...limits, diskBytes, inodes: Math.max(limits.inodes - frozen.inodes, LEAST_INODES) };
}

/** Has `layers` (topmost first) copied into the new layer `into`, by a process of its own. */
export async function mergeLayers(host: HostProcess, layers: readonly number[], into: number): Promise<LayerSize> {
  const size = readLayer(await host.request("M", withLayers(new Payload().u32(into), layers)));
  if (size === null) throw new GymError("sandbox_unavailable", "the sandbox host made no layer");
  return size;
}

/** The host's answer with a new layer: 1, its bytes and inodes. */
function readLayer(answer: Buffer): LayerSize | null {
  const reader = new PayloadReader(answer);
  return reader.u8() === 1 ? { bytes: reader.u64(), inodes: reader.u64() } : null;
}

function withLayers(payload: Payload, layers: readonly number[]): Payload {
  payload.u32(layers.length);
  for (const layer of layers) payload.u32(layer);
  return payload;
}

function startPayload(number: number, fields: StartFields): Payload {
  const { limits, image, mount = 0 } = fields;
  const payload = new Payload().u32(number).u32(image).u32(mount);
  payload.u64(Math.floor(limits.memoryBytes)).u64(Math.floor(limits.diskBytes)).u64(limits.inodes);
  payload.u32(limits.processes).u32(Math.max(1, Math.round(limits.cpus * 1000)));
  for (const layers of fields.old ? [fields.layers, fields.old] : [fields.layers]) withLayers(payload, layers);
  return payload;
}
