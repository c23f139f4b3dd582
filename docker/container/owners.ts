import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import type Docker from "dockerode";
import { sha256 } from "../../core/ids.ts";
import { type Engine, statusOf } from "../engine.ts";

/** Marks a container as ours, and says which process made it. */
const LABEL = "polygym";
const PROCESS_LABEL = "polygym.process";
const HOME_LABEL = "polygym.home";
const CONTAINER_LABEL = "polygym.container";
const MOST_TRIES = 20;
const RETRY_MS = 100;
const WITH_VOLUMES = { force: true, v: true };

/** Labels of everything that this process makes. `home` keeps installations apart that share an engine. */
export function ownLabels(home: string): Readonly<Record<string, string>> {
  return { [LABEL]: "1", [HOME_LABEL]: sha256(home).slice(7, 23), [PROCESS_LABEL]: processMark(process.pid) ?? "" };
}

/** Labels of what belongs to one container and could outlive it. */
export function labelsOf(container: string, labels: Readonly<Record<string, string>>): Record<string, string> {
  return { ...labels, [CONTAINER_LABEL]: container };
}

/** Removes containers whose process no longer lives, and those of this process that it does not know. Answers how many. */
export async function reapContainers(engine: Engine, home: string, known: ReadonlySet<string>): Promise<number> {
  const mine = ownLabels(home);
  const label = [`${HOME_LABEL}=${mine[HOME_LABEL]}`];
  const kept = (labels: Readonly<Record<string, string>>, name: string): boolean => {
    const owner = labels[PROCESS_LABEL] ?? "";
    return owner === mine[PROCESS_LABEL] ? known.has(name) : lives(owner);
  };
  const found = await engine.call("list containers", (docker) =>
    docker.listContainers({ all: true, filters: { label } }),
  );
  let removed = 0;
  for (const { Id, Names, Labels } of found) {
    if (kept(Labels, (Names[0] ?? "").slice(1))) continue;
    await tolerant(engine.call("remove a container", (docker) => docker.getContainer(Id).remove(WITH_VOLUMES)));
    removed += 1;
  }
  return (
    removed + (await removeVolumes(engine, label, ({ Labels }) => !kept(Labels ?? {}, Labels?.[CONTAINER_LABEL] ?? "")))
  );
}

/** Removes a container with its volumes, also when somebody else has removed it without them. Idempotent. */
export async function removeContainer(engine: Engine, container: Docker.Container, name: string): Promise<void> {
  const remove = (): Promise<number | null> =>
    tolerant(engine.call("remove a container", () => container.remove(WITH_VOLUMES)));
  let status: number | null = null;
  for (let tries = 1; ; tries += 1) {
    try {
      status = await remove();
      break;
    } catch (error) {
      // Podman answers 500 while it notices that a container has ended.
      if (statusOf(error) !== 500 || tries === MOST_TRIES) throw error;
      await delay(RETRY_MS);
    }
  }
  if (status !== null) await removeVolumes(engine, [`${CONTAINER_LABEL}=${name}`], () => true);
}

async function removeVolumes(
  engine: Engine,
  label: string[],
  wanted: (volume: Docker.VolumeInspectInfo) => boolean,
): Promise<number> {
  const filters = { label, dangling: ["true"] };
  const { Volumes } = await engine.call("list volumes", (docker) => docker.listVolumes({ filters }));
  const unused = (Volumes ?? []).filter(wanted);
  for (const { Name } of unused)
    await tolerant(engine.call("remove a volume", (docker) => docker.getVolume(Name).remove()));
  return unused.length;
}

/** Null when it worked; 404 and 409 mean that another call was faster. */
async function tolerant(removal: Promise<unknown>): Promise<number | null> {
  try {
    await removal;
    return null;
  } catch (error) {
    const status = statusOf(error);
    if (status !== 404 && status !== 409) throw error;
    return status;
  }
}

/** `machine/pid namespace/pid/start`: no other process ever has the same. Null when it does not live. */
function processMark(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const state = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (state[0] === "Z") return null;
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    return [hostname(), boot, readlinkSync("/proc/self/ns/pid"), pid, state[19]].join("/");
  } catch {
    return null;
  }
}

/** A process of another machine or namespace cannot be looked at: its containers are its own affair. */
function lives(mark: string): boolean {
  const [machine, boot, namespace, pid] = mark.split("/");
  const [myMachine, myBoot, myNamespace] = (processMark(process.pid) ?? "").split("/");
  if (machine !== myMachine || namespace !== myNamespace) return true;
  return boot === myBoot && processMark(Number(pid)) === mark;
}
