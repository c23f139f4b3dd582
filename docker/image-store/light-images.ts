import { GymError } from "../../core/errors.ts";
import type { Digest } from "../../core/ids.ts";
import type {
  ExportOptions,
  FileResult,
  ImageInfo,
  OpenRequest,
  Sandbox,
  SandboxCounts,
  SandboxProvider,
  SelfCheck,
  Snapshot,
  Submission,
} from "../../core/sandbox.ts";
import type { ImageDefinition } from "../light/image.ts";
import { type LightOptions, LightProvider } from "../light/provider.ts";
import { definitionOf, wholeRecord } from "./records.ts";

/** Images open at once in one process; each has a native host of its own, about 2 MB. */
const MOST_OPEN = 64;
/** One that nothing used for so long gives its native host up. */
const IDLE_MS = 5 * 60_000;

export interface LightImagesOptions extends Omit<LightOptions, "images"> {
  readonly home: string;
  readonly host: ImageDefinition;
}

interface Opened {
  readonly provider: LightProvider;
  usedAt: number;
}

/**
 * The light tier over image `host` and every image that is or will be built. A native host takes its images when it starts
 * and lets go of none, so each built image has one of its own, opened with its first sandbox and closed when nothing uses it.
 */
export class LightImages implements SandboxProvider {
  readonly tier = "light";
  readonly freezesInPlace = true;
  readonly #options: LightImagesOptions;
  readonly #host: LightProvider;
  /** By digest: an image that was built anew is another one, and the old one lives as long as its snapshots. */
  readonly #opened = new Map<Digest, Opened>();
  #closed = false;

  constructor(options: LightImagesOptions) {
    this.#options = options;
    this.#host = this.#hostOf(options.host);
  }

  async open(request: OpenRequest): Promise<Sandbox> {
    return await (await this.#providerOf(request.image, request.from)).open(request);
  }

  async fork(snapshot: Snapshot, n: number, request: Omit<OpenRequest, "from" | "image">): Promise<Sandbox[]> {
    return await (await this.#providerOf(snapshot.image, snapshot)).fork(snapshot, n, request);
  }

  async export(base: Snapshot, snapshot: Snapshot, options: ExportOptions): Promise<FileResult<Submission>> {
    return await (await this.#providerOf(snapshot.image, snapshot)).export(base, snapshot, options);
  }

  async release(snapshot: Snapshot): Promise<void> {
    await this.#holder(snapshot)?.release(snapshot);
  }

  holds(snapshot: Snapshot): boolean {
    return this.#holder(snapshot)?.holds(snapshot) ?? false;
  }

  async reap(): Promise<number> {
    await this.#closeIdle(Date.now());
    return await this.#host.reap();
  }

  async image(name: string): Promise<ImageInfo> {
    if (name === "host") return await this.#host.image(name);
    return (await this.#definition(name)).info;
  }

  async selfCheck(): Promise<SelfCheck> {
    return await this.#host.selfCheck();
  }

  async counts(): Promise<SandboxCounts> {
    const all = await Promise.all([this.#host, ...this.#providers()].map((provider) => provider.counts()));
    return {
      sandboxes: all.reduce((sum, { sandboxes }) => sum + sandboxes, 0),
      snapshots: all.reduce((sum, { snapshots }) => sum + snapshots, 0),
      snapshotBytes: all.reduce((sum, { snapshotBytes }) => sum + snapshotBytes, 0),
    };
  }

  /** Resolves when no warm sandbox is being started or removed. */
  async settled(): Promise<void> {
    await Promise.all([this.#host, ...this.#providers()].map((provider) => provider.settled()));
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#host, ...this.#providers()].map((provider) => provider.close()));
    this.#opened.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** All of them share one budget for frozen states. */
  #hostOf(image: ImageDefinition): LightProvider {
    const heldElsewhere = (): number =>
      [this.#host, ...this.#providers()].reduce((sum, one) => sum + (one === provider ? 0 : one.snapshotBytes), 0);
    const provider: LightProvider = new LightProvider({ ...this.#options, images: [image], heldElsewhere });
    return provider;
  }

  #holder(snapshot: Snapshot): LightProvider | undefined {
    return snapshot.image === "host" ? this.#host : this.#opened.get(snapshot.imageDigest)?.provider;
  }

  #providers(): LightProvider[] {
    return [...this.#opened.values()].map(({ provider }) => provider);
  }

  async #definition(name: string): Promise<ImageDefinition> {
    const record = await wholeRecord(this.#options.home, name);
    if (record === null || record.layers.length === 0)
      throw new GymError("sandbox_unavailable", `there is no image ${name}: polygym image build ${name}`);
    return await definitionOf(this.#options.home, record);
  }

  async #providerOf(name: string, from: Snapshot | undefined): Promise<LightProvider> {
    if (name === "host") return this.#host;
    if (from) {
      const opened = this.#opened.get(from.imageDigest);
      if (!opened) throw new GymError("sandbox_unavailable", `snapshot ${from.id} of image ${name} is gone`);
      opened.usedAt = Date.now();
      return opened.provider;
    }
    const definition = await this.#definition(name);
    return this.#opened.get(definition.info.digest)?.provider ?? (await this.#openImage(definition));
  }

  async #openImage(definition: ImageDefinition): Promise<LightProvider> {
    if (this.#closed) throw new GymError("sandbox_unavailable", "the sandbox provider is closed");
    if (this.#opened.size >= MOST_OPEN) await this.#closeIdle(Number.POSITIVE_INFINITY);
    if (this.#opened.size >= MOST_OPEN)
      throw new GymError("sandbox_unavailable", `${MOST_OPEN} images are in use here at once`, { retryable: true });
    const { digest } = definition.info;
    const opened = this.#opened.get(digest) ?? {
      provider: this.#hostOf(definition),
      usedAt: Date.now(),
    };
    this.#opened.set(digest, opened);
    opened.usedAt = Date.now();
    return opened.provider;
  }

  /** Closes what nothing stands on and nobody used since {@link IDLE_MS} before `now`. */
  async #closeIdle(now: number): Promise<void> {
    for (const [digest, { provider, usedAt }] of this.#opened) {
      const { sandboxes, snapshots } = await provider.counts();
      if (sandboxes + snapshots > 0 || now - usedAt < IDLE_MS) continue;
      this.#opened.delete(digest);
      await provider.close();
    }
  }
}
