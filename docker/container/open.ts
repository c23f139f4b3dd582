import { access, mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { Engine } from "../engine.ts";
import type { ProviderLog } from "../log.ts";
import { ContainerProvider } from "./provider.ts";

export interface OpenContainersOptions {
  readonly home: string;
  /** The native program, as an absolute path that the engine sees, too. */
  readonly binary: string;
  readonly log: ProviderLog;
  /** `unix:///path` or `tcp://host:port`. (Default: /var/run/docker.sock) */
  readonly engine?: string | null;
  /** Folder with ca.pem, cert.pem and key.pem. (Default: null) */
  readonly certificates?: string | null;
  readonly warm?: number;
  readonly runtime?: string | null;
  /** Bound of the engine's calls. (Default: 30,000) */
  readonly callMs?: number;
}

/** Opens the docker tier. The engine need not run yet: each call then fails typed, until it does. */
export async function openContainers(options: OpenContainersOptions): Promise<ContainerProvider> {
  const { engine: host = null, certificates, callMs, ...rest } = options;
  const engine = new Engine(host, { certificates, ...(callMs === undefined ? {} : { callMs }) });
  const provider = new ContainerProvider({ ...rest, engine, runFolder: await ownFolder() });
  try {
    await provider.reap();
  } catch (error) {
    options.log.warn({ err: error }, "containers of dead processes were not looked for");
  }
  return provider;
}

/** Sockets in it are ways into sandboxes: for this user alone. Folders of dead processes go. */
async function ownFolder(): Promise<string> {
  const user = process.geteuid?.() ?? 0;
  const parent = user === 0 ? "/run/polygym-docker" : `/tmp/polygym-docker-${user}`;
  await mkdir(parent, { recursive: true, mode: 0o700 });
  for (const name of await readdir(parent)) {
    const pid = /^p-(\d+)-/.exec(name)?.[1];
    const alive =
      pid !== undefined &&
      (await access(`/proc/${pid}`).then(
        () => true,
        () => false,
      ));
    if (!alive) await rm(join(parent, name), { recursive: true, force: true });
  }
  return await mkdtemp(join(parent, `p-${process.pid}-`));
}
