import { randomBytes } from "node:crypto";
import type Docker from "dockerode";
import { type Engine, statusOf } from "../engine.ts";
import { labelsOf, removeContainer } from "./owners.ts";

export interface FileProbe {
  readonly engine: Engine;
  readonly image: string;
  readonly labels: Readonly<Record<string, string>>;
  /** What is mounted; labels are for what has to go with the container. */
  mounts(labels: Record<string, string>): Pick<Docker.HostConfig, "Binds" | "Mounts">;
  /** Absolute. */
  readonly file: string;
}

/** Whether a container with these mounts sees a file, by one that is made and never started. False also where the engine refuses it. */
export async function seesFile({ engine, image, labels, mounts, file }: FileProbe): Promise<boolean> {
  const name = `polygym-probe-${randomBytes(6).toString("hex")}`;
  const options: Docker.ContainerCreateOptions = {
    name,
    Image: image,
    Entrypoint: ["/polygym"],
    Labels: { ...labels },
    NetworkDisabled: true,
    HostConfig: mounts(labelsOf(name, labels)),
  };
  try {
    const container = await engine.call("make a container", (docker) => docker.createContainer(options));
    try {
      await engine.call("look into a container", async () => {
        const answer: NodeJS.ReadableStream = await container.infoArchive({ path: file });
        answer.resume(); // its connection would stay open
      });
      return true;
    } finally {
      await removeContainer(engine, container, name);
    }
  } catch (error) {
    if (statusOf(error) === null) throw error; // no answer says nothing
    return false;
  }
}
