import { randomInt } from "node:crypto";
import { rm } from "node:fs/promises";
import { GymError } from "../../core/errors.ts";
import {
  DEFAULT_SANDBOX_LIMITS,
  type ExportOptions,
  type FileResult,
  type ImageInfo,
  type OpenRequest,
  type Sandbox,
  type SandboxCounts,
  type SandboxLimits,
  type SandboxProvider,
  type SelfCheck,
  type Snapshot,
  type Submission,
} from "../../core/sandbox.ts";
import type { Engine } from "../engine.ts";
import { Payload } from "../light/frames.ts";
import type { ProviderLog } from "../log.ts";
import { StartGate } from "../start-gate.ts";
import { WarmPool } from "../warm-pool.ts";
import { archiveDifference } from "./archive-difference.ts";
import { type ArchiveFile, restoreFrom } from "./archive-file.ts";
import { boundContainerLimits } from "./container-options.ts";
import { EngineCheck } from "./engine-needs.ts";
import type { ContainerImage } from "./image.ts";
import { ImageTable } from "./images.ts";
import { ownLabels, reapContainers } from "./owners.ts";
import { findRuntimes } from "./runtimes.ts";
import { ContainerSandbox } from "./sandbox.ts";
import { containerSelfCheck } from "./self-check.ts";
import { ContainerSnapshots } from "./snapshots.ts";
import { type OpenedContainer, startContainer } from "./start.ts";

/** Containers that are made at once: more make an engine slower for each, not faster for all. */
const STARTS_AT_ONCE = 4;
/** Kinds of containers kept warm: each takes tens of megabytes. */
const WARM_KINDS = 4;
/** Ids of commands: far from people, services and the ranges of /etc/subuid. */
const LOWEST_ID = 1_000_000_000;
const ID_ROOM = 1_000_000_000;

export interface ContainerProviderOptions {
  readonly engine: Engine;
  readonly home: string;
  /** The native program; it is the first process of every container. */
  readonly binary: string;
  /** Own folder of this provider, for sockets and frozen states. Short. */
  readonly runFolder: string;
  readonly log: ProviderLog;
  /** Containers kept warm per image and limits. (Default: 1) */
  readonly warm?: number;
  /** Of the engine, e.g. "runsc". (Default: the engine's own) */
  readonly runtime?: string | null;
}

/**
 * Sandboxes of the docker tier: hardened containers, each with the agent of the light tier as its first process
 * (agent-container.c). Freezing copies what can be written out of the container, so its cost grows with the size of that.
 */
export class ContainerProvider implements SandboxProvider {
  readonly tier = "docker";
  readonly freezesInPlace = false;
  readonly #options: ContainerProviderOptions;
  readonly #check: EngineCheck;
  readonly #images: ImageTable;
  readonly #snapshots: ContainerSnapshots;
  readonly #pool: WarmPool<OpenedContainer>;
  readonly #gate = new StartGate(STARTS_AT_ONCE);
  readonly #open = new Map<string, Sandbox>();
  readonly #names = new Set<string>();
  readonly #background = new Set<Promise<void>>();
  readonly #firstId = LOWEST_ID + randomInt(ID_ROOM);
  #next = 1;
  #cores: Promise<number> | null = null;
  #closed = false;

  constructor(options: ContainerProviderOptions) {
    this.#options = options;
    const { engine, home, runFolder, log, runtime = null } = options;
    const place = { engine, folder: runFolder, labels: ownLabels(home) };
    this.#check = new EngineCheck({ ...place, runtime });
    this.#images = new ImageTable({ ...place, home, check: this.#check });
    this.#snapshots = new ContainerSnapshots(runFolder);
    // Starting costs the engine, which may be on another machine: this one's load says nothing about it.
    const pool = { size: options.warm ?? 1, kinds: WARM_KINDS, after: 1, saturated: () => false };
    this.#pool = new WarmPool({ ...pool, log });
  }

  async open(request: OpenRequest): Promise<Sandbox> {
    if (this.#closed) throw new GymError("sandbox_unavailable", "the sandbox provider is closed");
    const { from } = request;
    if (from && from.image !== request.image)
      throw new GymError("sandbox_unavailable", `snapshot ${from.id} is of image ${from.image}`);
    const archive = from ? this.#snapshots.of(from) : null;
    const image = from
      ? await this.#images.ofSnapshot(from.image, from.imageDigest)
      : await this.#images.get(request.image, request.workdir);
    const container = await this.#started(
      image,
      boundContainerLimits({ ...DEFAULT_SANDBOX_LIMITS, ...request.limits }),
      archive,
    );
    try {
      const env = { HOME: "/root", LANG: "C.UTF-8", ...image.env, ...request.env };
      const entries = Object.entries(env).map(([name, value]) => `${name}=${value}`);
      await container.connection.request("B", new Payload().strings(entries));
    } catch (error) {
      await container.remove();
      throw error;
    }
    return this.#hand(container, request.owner);
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
    if (!options.root.startsWith("/")) throw new RangeError(`root must be absolute, got ${options.root}`);
    return await archiveDifference(this.#snapshots.of(base), this.#snapshots.of(snapshot), options);
  }

  holds(snapshot: Snapshot): boolean {
    return this.#snapshots.has(snapshot);
  }

  async release(snapshot: Snapshot): Promise<void> {
    await this.#snapshots.release(snapshot);
  }

  async reap(): Promise<number> {
    return await reapContainers(this.#options.engine, this.#options.home, this.#names);
  }

  async image(name: string): Promise<ImageInfo> {
    const image = await this.#images.get(name);
    const runtimes = await this.#images.runtimes(image, async () => {
      await using sandbox = await this.open({ image: name, owner: "runtimes" });
      return await findRuntimes(sandbox, image.info.workdir);
    });
    return { ...image.info, runtimes };
  }

  async selfCheck(): Promise<SelfCheck> {
    try {
      const { host } = await this.#images.get("host");
      return await containerSelfCheck({
        engine: this.#options.engine,
        mounts: host?.mounts ?? "own",
        traits: await this.#check.traits(),
        open: () => this.open({ image: "host", owner: "self-check" }),
      });
    } catch (error) {
      const what = `sandboxes: ${error instanceof Error ? error.message : String(error)}`;
      return {
        tier: this.tier,
        mode: "none",
        enforced: [],
        missing: [{ what, advice: "start the engine, or use the light tier" }],
      };
    }
  }

  async counts(): Promise<SandboxCounts> {
    return { sandboxes: this.#open.size, snapshots: this.#snapshots.size, snapshotBytes: this.#snapshots.bytes };
  }

  /** Resolves when no warm container is being started or removed. */
  async settled(): Promise<void> {
    await this.#pool.settled();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#open.values()].map((sandbox) => sandbox.close().catch(() => undefined))); // reap finds it
    await this.#pool.close();
    await Promise.all(this.#background);
    await this.#snapshots.clear();
    await rm(this.#options.runFolder, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** A warm one if there is one, else a new one; with the files of `archive` in it. */
  async #started(image: ContainerImage, limits: SandboxLimits, archive: ArchiveFile | null): Promise<OpenedContainer> {
    // A frozen state replaces what the image has in the same folders; it never lies over it.
    const bare = archive ? { ...image, seed: null } : image;
    const start = (): Promise<OpenedContainer> => this.#start(bare, limits);
    const key = JSON.stringify([bare.reference, bare.seed !== null, limits]);
    const warm = await this.#pool.take({ key, start }, (one) => one.ping());
    const container = warm ? { ...warm, opening: { queuedMs: 0, startMs: 0 } } : await start();
    if (!archive) return container;
    try {
      await restoreFrom(container.connection, archive);
      return container;
    } catch (error) {
      await container.remove();
      throw error;
    }
  }

  async #start(image: ContainerImage, limits: SandboxLimits): Promise<OpenedContainer> {
    return await this.#gate.run(async (queuedMs) => {
      if (this.#closed) throw new GymError("sandbox_unavailable", "the sandbox provider is closed");
      const number = this.#next++;
      const folder = this.#options.runFolder;
      const name = `polygym-${folder.slice(folder.lastIndexOf("-") + 1)}-${number}`;
      const { engine, home, binary, runFolder, runtime, log } = this.#options;
      const started = performance.now();
      this.#names.add(name);
      try {
        const container = await startContainer(engine, {
          ...{ name, image, binary, runFolder, runtime },
          labels: ownLabels(home),
          traits: await this.#check.traits(),
          ...(await this.#cpus(number, limits)),
          commandId: this.#firstId + (number % ID_ROOM),
        });
        const opening = { queuedMs, startMs: performance.now() - started };
        log.debug({ container: name, ...opening }, "a container was started");
        return { ...container, opening, remove: () => container.remove().finally(() => this.#names.delete(name)) };
      } catch (error) {
        this.#names.delete(name);
        throw error;
      }
    });
  }

  /** As many cores as the limit needs, so that nproc tells the truth; neighbours get others while there are any. */
  async #cpus(number: number, limits: SandboxLimits): Promise<{ cpuset: string; limits: SandboxLimits }> {
    const { engine } = this.#options;
    this.#cores ??= engine.call("count its cores", async (docker) => Number((await docker.info()).NCPU) || 1);
    this.#cores.catch(() => {
      this.#cores = null;
    });
    const cores = await this.#cores;
    const wanted = Math.min(Math.max(Math.ceil(limits.cpus), 1), cores);
    const cpuset = Array.from({ length: wanted }, (_, i) => (number + i) % cores).join(",");
    return { cpuset, limits: { ...limits, cpus: Math.min(limits.cpus, cores) } };
  }

  #hand(container: OpenedContainer, owner: string): Sandbox {
    const { name, image, connection } = container;
    let removing: Promise<void> | null = null;
    const destroy = async (): Promise<void> => {
      this.#open.delete(name);
      removing ??= container.remove();
      await removing;
    };
    const sandbox = new ContainerSandbox(connection, {
      id: `sb_${owner.replaceAll(/[^A-Za-z0-9._-]/g, "-").slice(0, 48)}-${name}`,
      image: image.info.image,
      opening: container.opening,
      freeze: (lost) => this.#snapshots.freeze(connection, image, lost),
      destroy,
      discard: () => this.#inBackground(destroy(), name),
    });
    this.#open.set(name, sandbox);
    const onEnd = async (): Promise<void> => {
      if (connection.lost) return;
      connection.lose(await container.whyEnded());
      await destroy();
    };
    this.#inBackground(connection.ended.then(onEnd), name);
    return sandbox;
  }

  #inBackground(work: Promise<void>, container: string): void {
    const done = work
      .catch((error: unknown) => this.#options.log.warn({ err: error, container }, "a container could not be removed"))
      .finally(() => this.#background.delete(done));
    this.#background.add(done);
  }
}
