import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { sha256 } from "../../core/ids.ts";
import { type Engine, statusOf } from "../engine.ts";

/** Marks a container as ours, and says which process made it. */
const LABEL = "polygym";
const PROCESS_LABEL = "polygym.process";
const HOME_LABEL = "polygym.home";

/** Labels of everything that this process makes. `home` keeps installations apart that share an engine. */
export function ownLabels(home: string): Readonly<Record<string, string>> {
  return { [LABEL]: "1", [HOME_LABEL]: sha256(home).slice(7, 23), [PROCESS_LABEL]: processMark(process.pid) ?? "" };
}

/** Removes containers whose process no longer lives, and those of this process that it does not know. Answers how many. */
export async function reapContainers(engine: Engine, home: string, known: ReadonlySet<string>): Promise<number> {
  const mine = ownLabels(home);
  const filters = { label: [`${HOME_LABEL}=${mine[HOME_LABEL]}`] };
  const found = await engine.call("list containers", (docker) => docker.listContainers({ all: true, filters }));
  let removed = 0;
  for (const { Id, Names, Labels } of found) {
    const owner = Labels[PROCESS_LABEL] ?? "";
    const kept = owner === mine[PROCESS_LABEL] ? known.has((Names[0] ?? "").slice(1)) : lives(owner);
    if (kept) continue;
    try {
      await engine.call("remove a container", (docker) => docker.getContainer(Id).remove({ force: true, v: true }));
      removed += 1;
    } catch (error) {
      if (statusOf(error) !== 404 && statusOf(error) !== 409) throw error; // another process was faster
    }
  }
  return removed;
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
