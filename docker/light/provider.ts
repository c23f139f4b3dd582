import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { promisify } from "node:util";
import { GymError } from "../../core/errors.ts";
import {
  DEFAULT_SANDBOX_LIMITS,
  type ExportOptions,
  type FileResult,
  type ImageInfo,
  type OpenRequest,
  type Programs,
  type Sandbox,
  type SandboxCounts,
  type SandboxLimits,
  type SandboxProvider,
  type SelfCheck,
  type Snapshot,
  type Submission,
} from "../../core/sandbox.ts";
import type { ProviderLog } from "../log.ts";
import { AgentConnection } from "./agent-connection.ts";
import { runExport } from "./export.ts";
import { Payload } from "./frames.ts";
import { HostProcess, type SandboxEnd } from "./host-process.ts";
import type { ImageDefinition } from "./image.ts";
import { reapRunFolders } from "./run-folders.ts";
import { LightSandbox } from "./sandbox.ts";
import { selfCheck } from "./self-check.ts";
import { SnapshotTable } from "./snapshots.ts";

const run = promisify(execFile);
/** Memory that files may not take: the agent, small commands and the kernel's own share. */
const RESERVE = 64 * 1024 * 1024;
/** Frozen layers below one sandbox (MAX_DEPTH of light.h). */
const MOST_LAYERS = 128;

export interface LightOptions {
  readonly binary: string;
  readonly images: readonly ImageDefinition[];
  readonly log: ProviderLog;
}

/**
 * Sandboxes of the light tier: namespaces, an overlay over frozen layers, an agent as PID 1 (docker/light/*.c).
 * One native host per provider; it is started with the first sandbox and again if it is killed.
 */
export class LightProvider implements SandboxProvider {
  readonly tier = "light";
  readonly #options: LightOptions;
  readonly #snapshots = new SnapshotTable();
  readonly #open = new Map<number, Sandbox>();
  #host: Promise<HostProcess> | null = null;
  #nextSandbox = 1;
  #nextLayer = 1;
  #closed = false;

  constructor(options: LightOptions) {
    this.#options = options;
  }

  async open(request: OpenRequest): Promise<Sandbox> {
    const { number, image } = this.#image(request.image);
    if (request.from && request.from.image !== request.image)
      throw new GymError("sandbox_unavailable", `snapshot ${request.from.id} is of image ${request.from.image}`);
    const layers = request.from ? this.#snapshots.layersOf(request.from) : [];
    if (layers.length > MOST_LAYERS)
      throw new GymError(
        "sandbox_unavailable",
        `snapshot ${request.from?.id} stands on more than ${MOST_LAYERS} others`,
      );
    const host = await this.#started();
    const id = this.#nextSandbox++;
    const limits = boundLimits({ ...DEFAULT_SANDBOX_LIMITS, ...request.limits });
    await host.request("C", sandboxPayload({ id, image: number, mount: 0, limits, layers }));
    const connection = await this.#connect(host, id);
    try {
      const env = { PATH: image.path, HOME: "/root", LANG: "C.UTF-8", ...request.env };
      const entries = Object.entries(env).map(([name, value]) => `${name}=${value}`);
      await connection.request("B", new Payload().strings(entries));
    } catch (error) {
      await this.#destroy(host, id);
      throw error;
    }
    const name = `sb_${request.owner.replaceAll(/[^A-Za-z0-9._-]/g, "-").slice(0, 48)}-${host.pid}-${id}`;
    const sandbox = new LightSandbox(connection, {
      id: name,
      image: request.image,
      freeze: (lost) => this.#freeze(host, id, { image, below: layers, lost }),
      destroy: () => this.#destroy(host, id),
    });
    this.#open.set(id, sandbox);
    return sandbox;
  }

  async fork(snapshot: Snapshot, n: number, request: Omit<OpenRequest, "from" | "image">): Promise<Sandbox[]> {
    const opening = Array.from({ length: n }, () => this.open({ ...request, image: snapshot.image, from: snapshot }));
    const settled = await Promise.allSettled(opening);
    const opened = settled.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    const failure = settled.find((one) => one.status === "rejected");
    if (!failure) return opened;
    await Promise.all(opened.map((sandbox) => sandbox.close()));
    throw failure.reason;
  }

  async export(base: Snapshot, snapshot: Snapshot, options: ExportOptions): Promise<FileResult<Submission>> {
    const { number, image } = this.#image(snapshot.image);
    if (!options.root.startsWith("/")) throw new RangeError(`root must be absolute, got ${options.root}`);
    const { mount, inside } = locate(image, options.root);
    const [layers, old] = [this.#snapshots.layersOf(snapshot), this.#snapshots.layersOf(base)];
    const host = await this.#started();
    const id = this.#nextSandbox++;
    const limits = boundLimits(DEFAULT_SANDBOX_LIMITS);
    await host.request("E", sandboxPayload({ id, image: number, mount, limits, layers, old }));
    try {
      const connection = await this.#connect(host, id);
      return await runExport(connection, inside, options);
    } finally {
      await this.#destroy(host, id);
    }
  }

  async release(snapshot: Snapshot): Promise<void> {
    const unused = this.#snapshots.remove(snapshot);
    const host = await this.#host;
    if (!host?.alive) return;
    await Promise.all(unused.map((layer) => host.request("R", new Payload().u32(layer))));
  }

  async reap(): Promise<number> {
    const groups = await run(this.#options.binary, ["reap"], { env: {} }).then(
      (done) => Number(done.stdout),
      () => 0,
    );
    await reapRunFolders();
    return groups;
  }

  async image(name: string): Promise<ImageInfo> {
    return this.#image(name).image.info;
  }

  async selfCheck(): Promise<SelfCheck> {
    try {
      const host = await this.#started();
      return await selfCheck(host.abilities, () => this.open({ image: "host", owner: "self-check" }));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const advice = "run as root, or allow unprivileged user namespaces (kernel 6.13 or newer)";
      return { tier: this.tier, mode: "none", enforced: [], missing: [{ what: `sandboxes: ${why}`, advice }] };
    }
  }

  async counts(): Promise<SandboxCounts> {
    return { sandboxes: this.#open.size, snapshots: this.#snapshots.size };
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#open.values()].map((sandbox) => sandbox.close().catch(() => undefined)));
    const host = await this.#host?.catch(() => null);
    this.#host = null;
    this.#snapshots.clear();
    await host?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #image(name: string): { number: number; image: ImageDefinition } {
    const number = this.#options.images.findIndex((image) => image.info.image === name);
    const image = this.#options.images[number];
    if (!image) throw new GymError("sandbox_unavailable", `there is no image ${name}`);
    return { number, image };
  }

  async #started(): Promise<HostProcess> {
    if (this.#closed) throw new GymError("sandbox_unavailable", "the sandbox provider is closed");
    this.#host ??= this.#startHost();
    return await this.#host;
  }

  async #startHost(): Promise<HostProcess> {
    const { binary, images, log } = this.#options;
    const starting = HostProcess.start(binary, images);
    starting.then(
      (host) =>
        host.exited.then(() => {
          if (this.#closed) return;
          log.warn({ pid: host.pid }, "the sandbox host has ended; the next sandbox starts another");
          this.#host = null;
          this.#snapshots.clear();
        }),
      () => {
        this.#host = null;
      },
    );
    return await starting;
  }

  /** Connects to a sandbox that the host has made, and tells its connection how it ended if it ends by itself. */
  async #connect(host: HostProcess, id: number): Promise<AgentConnection> {
    const ended = Promise.withResolvers<GymError>();
    host.onEnd(id, (end) => ended.resolve(endError(host, end)));
    try {
      const opened = AgentConnection.open(host.socketPath(id));
      const connection = await opened;
      connection.ended.then(async () => connection.lose(await ended.promise)).catch(() => undefined);
      return connection;
    } catch (error) {
      await this.#destroy(host, id, true);
      throw error;
    }
  }

  async #freeze(host: HostProcess, id: number, { image, below, lost }: Freezing): Promise<Snapshot> {
    const layer = this.#nextLayer++;
    this.#open.delete(id);
    await host.request("F", new Payload().u32(id).u32(layer));
    host.forget(id);
    const { image: name, digest } = image.info;
    const snapshot = { id: `snap_${randomBytes(9).toString("base64url")}`, image: name, imageDigest: digest, lost };
    this.#snapshots.add(snapshot, [layer, ...below]);
    return snapshot;
  }

  async #destroy(host: HostProcess, id: number, failed = false): Promise<void> {
    this.#open.delete(id);
    if (host.alive) await host.request("D", new Payload().u32(id)).catch(() => undefined); // gone with its host
    if (!failed) host.forget(id);
  }
}

/** A sandbox that ends while its host lives was ended by what ran in it. */
function endError(host: HostProcess, { outOfMemory, status, reason }: SandboxEnd): GymError {
  if (!host.alive) return new GymError("sandbox_lost", reason);
  if (reason) return new GymError("sandbox_unavailable", reason, { retryable: true });
  const how = outOfMemory ? "it ran out of memory" : `its first process ended with status ${status}`;
  return new GymError("sandbox_killed", `the sandbox was killed by its own program: ${how}`);
}

function boundLimits(limits: SandboxLimits): SandboxLimits {
  const memoryBytes = Math.max(limits.memoryBytes, RESERVE);
  const shared = Math.min(memoryBytes / 8, RESERVE);
  const room = Math.max(memoryBytes - RESERVE - shared, 4 * 1024 * 1024);
  return { ...limits, memoryBytes, diskBytes: Math.min(limits.diskBytes, room) };
}

interface Freezing {
  readonly image: ImageDefinition;
  readonly below: readonly number[];
  readonly lost: Programs | null;
}

interface SandboxFields {
  readonly id: number;
  readonly image: number;
  readonly mount: number;
  readonly limits: SandboxLimits;
  readonly layers: readonly number[];
  readonly old?: readonly number[];
}

function sandboxPayload(fields: SandboxFields): Payload {
  const { limits } = fields;
  const payload = new Payload().u32(fields.id).u32(fields.image).u32(fields.mount);
  payload.u64(Math.floor(limits.memoryBytes)).u64(Math.floor(limits.diskBytes)).u64(limits.inodes);
  payload.u32(limits.processes).u32(Math.max(1, Math.round(limits.cpus * 1000)));
  for (const layers of fields.old ? [fields.layers, fields.old] : [fields.layers]) {
    payload.u32(layers.length);
    for (const layer of layers) payload.u32(layer);
  }
  return payload;
}

/** The mount of the image that holds `root`, and the path below it. */
function locate(image: ImageDefinition, root: string): { mount: number; inside: string } {
  const path = root.replaceAll(/\/+/g, "/").replace(/\/$/, "");
  const mount = image.mounts.findLastIndex(({ target }) => path === target || path.startsWith(`${target}/`));
  const target = image.mounts[Math.max(mount, 0)]?.target ?? "";
  return { mount: Math.max(mount, 0), inside: path.slice(target.length + 1) };
}
