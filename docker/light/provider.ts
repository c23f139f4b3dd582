import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { totalmem } from "node:os";
import { promisify } from "node:util";
import { GymError } from "../../core/errors.ts";
import type {
  ExportOptions,
  FileResult,
  FreezeOptions,
  ImageInfo,
  OpenRequest,
  Programs,
  Sandbox,
  SandboxCounts,
  SandboxProvider,
  SelfCheck,
  Snapshot,
  Submission,
} from "../../core/sandbox.ts";
import type { ProviderLog } from "../log.ts";
import { saturated } from "../machine-load.ts";
import { StartGate } from "../start-gate.ts";
import { type WarmKind, WarmPool } from "../warm-pool.ts";
import { Compaction } from "./compaction.ts";
import { runExport } from "./export.ts";
import { Payload } from "./frames.ts";
import { freezeWithin } from "./freeze.ts";
import { HostProcess } from "./host-process.ts";
import { type ImageDefinition, locate } from "./image.ts";
import { reapRunFolders } from "./run-folders.ts";
import { LightSandbox } from "./sandbox.ts";
import { selfCheck } from "./self-check.ts";
import { SnapshotTable } from "./snapshots.ts";
import {
  boundLimits,
  limitsAbove,
  mergeLayers,
  type OpenedSandbox,
  type StartedSandbox,
  setBaseEnv,
  startSandbox,
} from "./start.ts";
import { withWorkdir } from "./workdir.ts";

const run = promisify(execFile);
/** Sandboxes that are made at once. The host makes one after the other; its children and this process work beside it. */
const STARTS_AT_ONCE = 8;
/** A verdict opens two from the same base: one to apply the submission, one to run it. */
const WARM_PER_KIND = 2;
/** With two each, 16 sandboxes wait at most: 10 to 16 MB. */
const WARM_KINDS = 8;
export interface LightOptions {
  readonly binary: string;
  readonly images: readonly ImageDefinition[];
  readonly log: ProviderLog;
  /** Sandboxes kept warm per image, frozen state and limits. (Default: 2) */
  readonly warm?: number;
  /** True while nothing should be started ahead. (Default: while more threads want to run than there are cores) */
  readonly saturated?: () => boolean;
  /**
   * Memory that all frozen states together may take: they outlive the limits of their sandboxes. (Default: a quarter of
   * the machine's)
   */
  readonly snapshotBytes?: number;
  /** What others that share this memory hold. (Default: nothing) */
  readonly heldElsewhere?: () => number;
}

/**
 * Sandboxes of the light tier: namespaces, an overlay over frozen layers, an agent as PID 1 (docker/light/*.c).
 * One native host per provider; it is started with the first sandbox and again if it is killed.
 */
export class LightProvider implements SandboxProvider {
  readonly tier = "light";
  readonly freezesInPlace = true;
  readonly #options: LightOptions;
  readonly #snapshots = new SnapshotTable();
  readonly #open = new Set<Sandbox>();
  readonly #compaction: Compaction;
  readonly #budget: number;
  readonly #pool: WarmPool<OpenedSandbox>;
  readonly #gate = new StartGate(STARTS_AT_ONCE);
  #host: Promise<HostProcess> | null = null;
  #nextLayer = 1;
  #closed = false;

  constructor(options: LightOptions) {
    this.#options = options;
    const { log, warm = WARM_PER_KIND, saturated: busy = saturated, snapshotBytes = totalmem() / 4 } = options;
    this.#budget = Math.floor(snapshotBytes);
    this.#compaction = new Compaction({
      table: this.#snapshots,
      log,
      merge: async (layers) => {
        const layer = this.#nextLayer++;
        return { layer, size: await mergeLayers(await this.#started(), layers, layer) };
      },
      release: (layers) => this.#release(layers),
    });
    // A bare image is asked for again by everybody; a frozen state whose second use comes will be used by many.
    const pool = { size: warm, kinds: WARM_KINDS, after: 2, saturated: () => this.#gate.running > 0 || busy() };
    this.#pool = new WarmPool({ ...pool, log });
  }

  async open(request: OpenRequest): Promise<Sandbox> {
    const { image } = this.#image(request.image);
    const env = { PATH: image.path, HOME: "/root", LANG: "C.UTF-8", ...request.env };
    const entries = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    const kind = this.#kind(request);
    const warm = await this.#pool.take(kind, (one) => setBaseEnv(one, entries));
    const started = warm ? { ...warm, opening: { queuedMs: 0, startMs: 0 } } : await kind.start(entries);
    const sandbox = this.#hand(started, request);
    const { from, workdir } = request;
    return from || !workdir || workdir === image.info.workdir ? sandbox : await withWorkdir(sandbox, workdir);
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
    const host = await this.#started();
    const [layers, old] = [this.#snapshots.layersOf(snapshot), this.#snapshots.layersOf(base)];
    const exporter = await startSandbox(host, { image: number, mount, limits: boundLimits(), layers, old });
    try {
      return await runExport(exporter.connection, inside, options);
    } finally {
      await exporter.remove();
    }
  }

  holds(snapshot: Snapshot): boolean {
    return this.#snapshots.has(snapshot);
  }

  async release(snapshot: Snapshot): Promise<void> {
    const unused = this.#snapshots.remove(snapshot);
    await this.#pool.drop(snapshot.id);
    await this.#release(unused);
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
      const advice =
        "run as root on Linux 6.1 or newer, or allow unprivileged user namespaces on 6.6 or newer; or use --sandbox docker";
      return { tier: this.tier, mode: "none", enforced: [], missing: [{ what: `sandboxes: ${why}`, advice }] };
    }
  }

  get snapshotBytes(): number {
    return this.#snapshots.bytes;
  }

  async counts(): Promise<SandboxCounts> {
    const { size: snapshots, bytes: snapshotBytes } = this.#snapshots;
    return { sandboxes: this.#open.size, snapshots, snapshotBytes };
  }

  /** Resolves when no warm sandbox is being started or removed. */
  async settled(): Promise<void> {
    await this.#pool.settled();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#open].map((sandbox) => sandbox.close().catch(() => undefined)));
    await this.#pool.close();
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
          return this.#pool.drop();
        }),
      () => {
        this.#host = null;
      },
    );
    return await starting;
  }

  /** Sandboxes that start the same way, whatever their environment and owner. */
  #kind({ image, from, limits }: OpenRequest): Startable {
    const { number } = this.#image(image);
    if (from && from.image !== image)
      throw new GymError("sandbox_unavailable", `snapshot ${from.id} is of image ${from.image}`);
    const bounded = boundLimits(limits);
    const start = (env?: readonly string[]): Promise<OpenedSandbox> =>
      this.#gate.run(async (queuedMs) => {
        const host = await this.#started();
        const standing = this.#snapshots.stand(from ? await this.#compaction.layersOf(from) : []);
        const leave = (): Promise<void> => this.#release(this.#snapshots.leave(standing));
        const { layers } = standing;
        const limits = limitsAbove(bounded, this.#snapshots.sizeOf(layers));
        const asked = performance.now();
        try {
          const started = await startSandbox(host, { image: number, limits, layers, ...(env && { env }) });
          const opening = { queuedMs, startMs: performance.now() - asked };
          this.#options.log.debug({ sandbox: started.number, ...opening }, "a sandbox was started");
          const remove = async (): Promise<void> => {
            try {
              await started.remove();
            } finally {
              await leave();
            }
          };
          return { ...started, opening, remove };
        } catch (error) {
          await leave();
          throw error;
        }
      });
    return { key: JSON.stringify([number, from?.id ?? null, bounded]), group: from?.id, start };
  }

  #hand(started: OpenedSandbox, { image: name, owner }: OpenRequest): Sandbox {
    const { image } = this.#image(name);
    const sandbox = new LightSandbox(started.connection, {
      id: `sb_${owner.replaceAll(/[^A-Za-z0-9._-]/g, "-").slice(0, 48)}-${started.host.pid}-${started.number}`,
      image: name,
      opening: started.opening,
      freeze: async (lost, options) => {
        const snapshot = await this.#freeze(started, image, { lost, ...options });
        this.#open.delete(sandbox);
        return snapshot;
      },
      destroy: () => {
        this.#open.delete(sandbox);
        return started.remove();
      },
    });
    this.#open.add(sandbox);
    return sandbox;
  }

  async #freeze(
    started: StartedSandbox,
    image: ImageDefinition,
    { lost, optional = false }: FreezeOptions & { lost: Programs | null },
  ): Promise<Snapshot> {
    const layer = this.#nextLayer++;
    const { heldElsewhere = () => 0 } = this.#options;
    const size = await freezeWithin(started, layer, { budget: this.#budget, heldElsewhere, optional });
    const { image: name, digest } = image.info;
    const snapshot = { id: `snap_${randomBytes(9).toString("base64url")}`, image: name, imageDigest: digest, lost };
    this.#snapshots.add(snapshot, { layer, size, below: started.layers });
    await started.remove();
    this.#compaction.consider(snapshot);
    return snapshot;
  }

  async #release(layers: readonly number[]): Promise<void> {
    const host = await this.#host;
    if (!host?.alive) return;
    await Promise.all(layers.map((layer) => host.request("R", new Payload().u32(layer))));
  }
}

/** A kind that can also be started with its environment, which saves a round trip. */
interface Startable extends WarmKind<OpenedSandbox> {
  start(env?: readonly string[]): Promise<OpenedSandbox>;
}
