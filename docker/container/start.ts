import { chmod, mkdir, rm, writeFile } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import type Docker from "dockerode";
import { GymError } from "../../core/errors.ts";
import type { SandboxLimits, SandboxOpening } from "../../core/sandbox.ts";
import type { Engine } from "../engine.ts";
import { AgentConnection } from "../light/agent-connection.ts";
import { Payload } from "../light/frames.ts";
import type { Warm } from "../warm-pool.ts";
import { restoreFrom } from "./archive-file.ts";
import { containerOptions } from "./container-options.ts";
import type { EngineTraits } from "./engine-needs.ts";
import type { ContainerImage } from "./image.ts";
import { removeContainer } from "./owners.ts";

/** From the engine's "started" to the agent's first word; 20 ms on an idle machine. */
const CONNECT_MS = 20_000;
/** What an agent that cannot begin says by its exit status (`container_main`), where an operator can do something. */
const AGENT_ENDS: Readonly<Record<number, string>> = {
  5: "(it cannot reach its socket: a runtime with a kernel of its own must let it, runsc with --host-uds=open)",
  7: "(its kernel has no openat2: of runsc, a build since September 2026 has it)",
};

export interface StartFields {
  readonly name: string;
  readonly image: ContainerImage;
  readonly limits: SandboxLimits;
  readonly cpuset: string;
  readonly commandId: number;
  readonly labels: Readonly<Record<string, string>>;
  /** Holds one folder per container, short enough for a socket's path. */
  readonly runFolder: string;
  readonly binary: string;
  readonly traits: EngineTraits;
  readonly runtime?: string | null | undefined;
}

/** A running container with the connection to its agent. Whoever has it removes it. */
export interface StartedContainer extends Warm {
  readonly name: string;
  readonly image: ContainerImage;
  readonly connection: AgentConnection;
  /** Resolves when its agent answers. */
  ping(): Promise<void>;
  /** Why the connection ended, asked of the engine. Call it after the end. */
  whyEnded(): Promise<GymError>;
}

/** One with how it was started: what a pool keeps and a caller gets. */
export interface OpenedContainer extends StartedContainer {
  readonly opening: SandboxOpening;
}

/** Makes and starts a container and waits for its agent. Nothing is left of one that fails. */
export async function startContainer(engine: Engine, fields: StartFields): Promise<StartedContainer> {
  const folder = join(fields.runFolder, fields.name);
  const listener = await listen(folder);
  let container: Docker.Container | null = null;
  const remove = async (): Promise<void> => {
    listener.server.close();
    if (container) await removeContainer(engine, container, fields.name);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const options = containerOptions({
      ...fields,
      image: fields.image.reference,
      socketFolder: join(folder, "s"),
      host: fields.image.host,
      binds: await accountBinds(folder, fields),
      hidden: fields.image.hidden,
      volumes: fields.image.volumes,
    });
    container = await engine.call("make a container", (docker) => docker.createContainer(options));
    const made = container;
    await engine.call("start a container", () => made.start());
    const connection = AgentConnection.begin(await connected(engine, made, listener));
    const ended = connection.ended.then(() => {
      throw new GymError("sandbox_unavailable", "the container ended while it was starting", { retryable: true });
    });
    await Promise.race([connection.alive(), ended]);
    if (fields.image.seed) await restoreFrom(connection, fields.image.seed);
    return {
      name: fields.name,
      image: fields.image,
      connection,
      ping: async () => void (await connection.request("P", new Payload())),
      whyEnded: () => whyEnded(engine, made),
      remove: async () => {
        connection.lose(new GymError("sandbox_unavailable", "the container is being removed"));
        await remove();
      },
    };
  } catch (error) {
    await remove().catch(() => undefined); // the first failure is the one to tell; reap finds what is left
    throw error;
  }
}

interface Listener {
  readonly server: Server;
  readonly socket: Promise<Socket>;
}

/** The folder is mounted read-only, so the agent connects and nobody inside can leave anything in it. */
async function listen(folder: string): Promise<Listener> {
  const path = join(folder, "s", "agent.sock");
  if (Buffer.byteLength(path) > 107) throw new RangeError(`a socket's path has at most 107 bytes: ${path}`);
  await mkdir(join(folder, "s"), { recursive: true });
  await chmod(join(folder, "s"), 0o755);
  const connection = Promise.withResolvers<Socket>();
  const server = createServer((socket) => connection.resolve(socket));
  server.maxConnections = 1;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => resolve());
  });
  await chmod(path, 0o666);
  return { server, socket: connection.promise };
}

/** The first connection is the agent's: nothing else runs before it. There is no second one. */
async function connected(engine: Engine, container: Docker.Container, { server, socket }: Listener): Promise<Socket> {
  const done = new AbortController();
  const { promise: never, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error("late")), CONNECT_MS);
  engine.waitForEnd(container.id, done.signal).then(() => reject(new Error("ended")), reject);
  try {
    return await Promise.race([socket, never]);
  } catch (error) {
    const why = await whyEnded(engine, container);
    throw new GymError("sandbox_unavailable", `a container's agent did not start: ${why.message}`, {
      cause: error,
      retryable: true,
    });
  } finally {
    clearTimeout(timer);
    done.abort();
    server.close();
  }
}

async function accountBinds(folder: string, { image, commandId }: StartFields): Promise<string[]> {
  if (!image.accounts) return [];
  const { passwd, group } = image.accounts;
  const write = async (name: string, text: string): Promise<string> => {
    const file = join(folder, name);
    await writeFile(file, text, { mode: 0o644 });
    await chmod(file, 0o644);
    return `${file}:/etc/${name}:ro`;
  };
  const ended = (text: string): string => (text === "" || text.endsWith("\n") ? text : `${text}\n`);
  return [
    await write("passwd", `${ended(passwd)}sandbox:x:${commandId}:${commandId}::/root:/bin/bash\n`),
    await write("group", `${ended(group)}sandbox:x:${commandId}:\n`),
  ];
}

async function whyEnded(engine: Engine, container: Docker.Container): Promise<GymError> {
  try {
    const { State } = await engine.call("ask how a container ended", () => container.inspect());
    if (State.OOMKilled)
      return new GymError("sandbox_killed", "the sandbox was killed by its own program: it ran out of memory");
    const ended = `the container's first process ended with status ${State.ExitCode}`;
    return new GymError("sandbox_lost", [ended, State.Error, AGENT_ENDS[State.ExitCode]].filter(Boolean).join(" "));
  } catch (error) {
    return new GymError("sandbox_lost", "the container and its agent are gone", { cause: error });
  }
}
