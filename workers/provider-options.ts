import type { ProviderOptions } from "../docker/catalog.ts";
import type { Config } from "../platform/config.ts";

/** What the configuration says about sandboxes. */
export function providerOptions(config: Config): ProviderOptions {
  return {
    tier: config.tier,
    home: config.home,
    engine: config.dockerHost,
    certificates: config.dockerCertificates,
    runtime: config.dockerRuntime,
    snapshotBytes: config.snapshotBytes,
  };
}
