import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { engineAnswers } from "../platform/private-engine.ts";
import { installByApt } from "./apt.ts";
import { until } from "./contract/sandbox-tools.ts";
import type { EngineForTests } from "./engine.ts";

const START_MS = 60_000;

/** Podman's service with Docker's API, with folders of its own, or why there can be none. Whoever starts it stops it. */
export async function startPodman(): Promise<EngineForTests> {
  if (process.geteuid?.() !== 0) return { engine: null, reason: "Podman as its own engine needs root" };
  const problem = existsSync("/usr/bin/podman") ? null : installByApt("podman", "runc");
  if (problem !== null) return { engine: null, reason: problem };
  const folder = await mkdtemp("/run/polygym-podman-");
  const address = `unix://${join(folder, "p.sock")}`;
  const global = [
    ...["--root", join(folder, "root"), "--runroot", join(folder, "run"), "--tmpdir", join(folder, "tmp")],
    ...["--cgroup-manager", "cgroupfs", "--runtime", "runc"], // crun does not know hybrid control groups
  ];
  const podman = (...args: string[]) =>
    spawn("setpriv", ["--pdeathsig", "TERM", "podman", ...global, ...args], { stdio: ["ignore", "ignore", "pipe"] });
  const service = podman("system", "service", "--time", "0", address);
  let log = "";
  service.stderr.setEncoding("utf8").on("data", (text: string) => {
    log = (log + text).slice(-1_000);
  });
  const ended = once(service, "exit");
  const stop = async (): Promise<void> => {
    service.kill("SIGTERM");
    await ended;
    const reset = podman("system", "reset", "--force");
    await once(reset, "exit");
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await until("Podman answers", () => engineAnswers(join(folder, "p.sock")), START_MS);
  } catch {
    await stop();
    return { engine: null, reason: `Podman does not run here: ${log.trim()}` };
  }
  const never = async (): Promise<void> => undefined;
  const signal = (name: NodeJS.Signals): void => void service.kill(name);
  return { engine: { address, end: never, start: never, signal, stop } };
}
