import { join } from "node:path";
import { PassThrough } from "node:stream";
import { finished } from "node:stream/promises";
import { bindMounts } from "../../docker/container/folder-mounts.ts";
import { hostContainerImage } from "../../docker/container/host-image.ts";
import { ownLabels } from "../../docker/container/owners.ts";
import { Engine } from "../../docker/engine.ts";
import type { Peer, PeerResult } from "./peers.ts";

/**
 * Plain containers with `docker exec`, through the engine's API and thus without the start of a client program: image
 * host, the engine's own defaults, no network. Its first process sleeps.
 */
export async function dockerExec(home: string, address: string): Promise<Peer> {
  const engine = new Engine(address);
  const image = await hostContainerImage({
    workdir: null,
    engine,
    home,
    folder: join(home, "images"),
    labels: ownLabels(home),
  });
  const binds = image.host ? bindMounts({ ...image.host, mounts: "shared" }) : [];
  const create = async () => {
    const container = await engine.call("make a container", (docker) =>
      docker.createContainer({
        Image: image.reference,
        Cmd: ["/bin/sleep", "infinity"],
        HostConfig: { Binds: binds, NetworkMode: "none", PidsLimit: 256 },
      }),
    );
    await engine.call("start a container", () => container.start());
    return container;
  };
  type Container = Awaited<ReturnType<typeof create>>;
  const run = async (container: Container, argv: readonly string[]): Promise<PeerResult> =>
    await engine.call("run a command", async (docker) => {
      const exec = await container.exec({ Cmd: [...argv], AttachStdout: true, AttachStderr: true });
      const stream = await exec.start({ hijack: true, stdin: false });
      const out = new PassThrough();
      const chunks: Buffer[] = [];
      out.on("data", (chunk: Buffer) => chunks.push(chunk));
      docker.modem.demuxStream(stream, out, new PassThrough().resume());
      await finished(stream, { writable: false });
      const { ExitCode } = await exec.inspect();
      return { exitCode: ExitCode, stdout: Buffer.concat(chunks).toString() };
    });
  return {
    parallel: [1, 16],
    open: async () => {
      const container = await create();
      return {
        run: (argv) => run(container, argv),
        close: () => engine.call("remove a container", () => container.remove({ force: true })),
      };
    },
  };
}
