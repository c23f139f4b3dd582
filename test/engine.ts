import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { Engine } from "../docker/engine.ts";
import { installByApt } from "./apt.ts";
import { until } from "./contract/sandbox-tools.ts";

/**
 * A container engine for tests: its own daemon with its own folders and socket, without a bridge and without rules in
 * the machine's firewall. It is installed where it is not there, and it ends with the tests.
 */

const run = promisify(execFile);
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const START_MS = 60_000;

export interface TestEngine {
  /** For `openProvider({ engine })` and DOCKER_HOST. */
  readonly address: string;
  /** Ends the daemon and keeps its data. */
  end(): Promise<void>;
  /** Starts it again after {@link end}. */
  start(): Promise<void>;
  /** Ends it and removes everything. */
  stop(): Promise<void>;
}

export type EngineForTests = { readonly engine: TestEngine } | { readonly engine: null; readonly reason: string };

/** Starts an engine, or says why these tests cannot have one. Whoever starts it stops it. */
export async function startEngine(): Promise<EngineForTests> {
  try {
    if (process.geteuid?.() !== 0) return unavailable("an engine needs root");
    if (process.platform !== "linux") return unavailable("an engine needs Linux");
    if (!existsSync("/usr/bin/dockerd") && !existsSync("/usr/sbin/dockerd")) {
      const problem = installByApt("docker.io");
      if (problem !== null) return unavailable(problem);
    }
    const folder = await mkdtemp("/run/polygym-engine-");
    const engine = engineIn(folder);
    try {
      await engine.start();
      return { engine };
    } catch (error) {
      await engine.stop();
      throw error;
    }
  } catch (error) {
    return unavailable(error instanceof Error ? error.message : String(error));
  }
}

function unavailable(reason: string): EngineForTests {
  console.warn(`no container engine for these tests: ${reason}`);
  return { engine: null, reason };
}

function engineIn(folder: string): TestEngine {
  const socket = join(folder, "engine.sock");
  let daemon: { readonly child: ChildProcess; readonly ended: Promise<void>; log: string } | null = null;
  const end = async (): Promise<void> => {
    const running = daemon;
    daemon = null;
    running?.child.kill("SIGTERM");
    await running?.ended;
  };
  return {
    address: `unix://${socket}`,
    start: async () => {
      const started = spawnDaemon(folder, socket);
      daemon = started;
      await answering(socket, started);
    },
    end,
    stop: async () => {
      const data = join(folder, "data");
      await end();
      await killContainerd(folder);
      await unmountBelow(folder);
      await rm(data, { recursive: true, force: true });
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function spawnDaemon(folder: string, socket: string): { child: ChildProcess; ended: Promise<void>; log: string } {
  const flags = [
    ...["--data-root", join(folder, "data"), "--exec-root", join(folder, "exec"), "--pidfile", join(folder, "pid")],
    ...["--host", `unix://${socket}`, "--bridge=none", "--iptables=false", "--ip6tables=false"],
  ];
  // setpriv: the daemon ends with this process, however that ends.
  const child = spawn("setpriv", ["--pdeathsig", "TERM", "dockerd", ...flags], {
    env: { PATH },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const started = { child, log: "", ended: new Promise<void>((resolve) => child.once("close", () => resolve())) };
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    started.log = (started.log + text).slice(-2_000);
  });
  child.once("error", (error) => {
    started.log += error.message;
  });
  return started;
}

async function answering(
  socket: string,
  started: { readonly child: ChildProcess; readonly log: string },
): Promise<void> {
  const check = async (): Promise<boolean> => {
    if (started.child.exitCode !== null || started.child.signalCode !== null)
      throw new Error(`dockerd ended: ${started.log}`);
    return await new Engine(`unix://${socket}`)
      .call("ask whether it is there", (docker) => docker.ping())
      .then(
        () => true,
        () => false,
      );
  };
  await until("dockerd answers", check, START_MS);
}

/** A dockerd that was killed leaves its containerd and the containers' shims: they are found by their folder. */
async function killContainerd(folder: string): Promise<void> {
  const lines = async (): Promise<string[]> => {
    const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
    const found = await Promise.all(
      pids.map(async (pid) => ({ pid, line: await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "") })),
    );
    return found.filter(({ line }) => /^\S*containerd/.test(line) && line.includes(folder)).map(({ pid }) => pid);
  };
  await until("containerd has ended", async () => {
    const left = await lines();
    for (const pid of left) process.kill(Number(pid), "SIGKILL");
    return left.length === 0;
  });
}

async function unmountBelow(folder: string): Promise<void> {
  const mounts = (await readFile("/proc/self/mountinfo", "utf8")).split("\n").map((line) => line.split(" ")[4] ?? "");
  for (const mount of mounts.filter((path) => path.startsWith(`${folder}/`)).reverse())
    await run("umount", ["-l", mount], { env: { PATH } }).catch(() => undefined); // gone with another
}
