import type { SandboxProvider } from "../core/sandbox.ts";
import { openContainers } from "./container/open.ts";
import { FakeProvider } from "./fake/provider.ts";
import { hostImage } from "./image-host.ts";
import { LightImages } from "./image-store/light-images.ts";
import { buildLight } from "./light/build.ts";
import type { LightOptions } from "./light/provider.ts";
import { type ProviderLog, silentLog } from "./log.ts";

export interface ProviderOptions {
  /** "auto" is the strongest tier of this machine. */
  readonly tier: "light" | "docker" | "fake" | "auto";
  /** POLYGYM_HOME: built program and prepared images. */
  readonly home: string;
  /** The native program. (Default: built from docker/light when its sources changed) */
  readonly binary?: string;
  readonly log?: ProviderLog;
  /** Sandboxes kept warm per kind. (Default: the tier's) */
  readonly warm?: number;
  /** Of the light tier: memory that all frozen states may take. (Default: a quarter of the machine's) */
  readonly snapshotBytes?: number;
  /** Of the docker tier: `unix:///path` or `tcp://host:port`. (Default: /var/run/docker.sock) */
  readonly engine?: string | null;
  /** Of the docker tier: folder with ca.pem, cert.pem and key.pem. (Default: null) */
  readonly certificates?: string | null;
  /** Of the docker tier: runtime of the engine, e.g. "runsc". (Default: the engine's own) */
  readonly runtime?: string | null;
}

/** Opens the provider of a tier. Whoever opens it closes it. Frees first what dead processes left. */
export async function openProvider(options: ProviderOptions): Promise<SandboxProvider> {
  if (options.tier === "fake") return new FakeProvider();
  const binary = options.binary ?? (await buildLight(options.home));
  if (options.tier === "docker") return await openContainers({ log: silentLog, ...options, binary });
  return await openLight({ ...options, binary });
}

/** Opens the light tier, with what a measurement or a test may set beside a service's options. */
export async function openLight(
  options: Omit<ProviderOptions, "tier"> & Pick<LightOptions, "saturated">,
): Promise<LightImages> {
  const { home, binary = await buildLight(home) } = options;
  const provider = new LightImages({ log: silentLog, ...options, binary, host: await hostImage({ home }) });
  await provider.reap();
  return provider;
}
