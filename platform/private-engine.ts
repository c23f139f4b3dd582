import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { access, constants, mkdir, readdir, readFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { GymError } from "../core/errors.ts";

/** The first start makes keys, tables and folders. */
const START_MS = 60_000;
/** It stops its containers first, each with ten seconds of grace. */
const STOP_MS = 30_000;
const PING_MS = 2_000;
const PROBE_EVERY_MS = 100;
/** Last output of an engine that did not start. */
const OUTPUT_KEPT = 2_000;

export interface PrivateEngineOptions {
  /** Images and containers. */
  readonly dataFolder: string;
  /** Sockets and the state of what runs. Short. */
  readonly runFolder: string;
  /** Folders that programs are looked for in. */
  readonly searchPath: readonly string[];
  /** More of dockerd's own. (Default: none) */
  readonly flags?: readonly string[];
}

export interface PrivateEngine {
  /** `unix:///path`, for this user alone. */
  readonly address: string;
  readonly pid: number;
  /** Ends it with all that it runs; its data stays. Idempotent. */
  close(): Promise<void>;
}

/**
 * A container engine of our own (dockerd): its own data and socket, no bridge, no rule in the machine's firewall. It ends
 * with this process, however that ends: the kernel signals it (setpriv). Only for root.
 */
export async function startPrivateEngine(options: PrivateEngineOptions): Promise<PrivateEngine> {
  await mkdir(options.dataFolder, { recursive: true, mode: 0o700 });
  await mkdir(options.runFolder, { recursive: true, mode: 0o700 });
  const socket = privateEngineSocket(options.runFolder);
  const { child, output } = spawnDaemon(options, socket);
  let closing: Promise<void> | null = null;
  const close = (): Promise<void> => {
    closing ??= end(child).then(() => cleanUp(options));
    return closing;
  };
  try {
    const deadline = Date.now() + START_MS;
    while (!(await engineAnswers(socket))) {
      if (child.exitCode !== null || child.signalCode !== null || Date.now() > deadline)
        throw new GymError(
          "sandbox_unavailable",
          `the private engine did not start: ${output().trim() || "no answer"}`,
        );
      await delay(PROBE_EVERY_MS);
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { address: `unix://${socket}`, pid: child.pid ?? 0, close };
}

export function privateEngineSocket(runFolder: string): string {
  return join(runFolder, "engine.sock");
}

/** Whether an engine answers at a unix socket, soon. */
export async function engineAnswers(socketPath: string): Promise<boolean> {
  const answered = Promise.withResolvers<boolean>();
  const asked = request({ socketPath, path: "/_ping", signal: AbortSignal.timeout(PING_MS) }, (response) => {
    response.resume();
    answered.resolve(response.statusCode === 200);
  });
  asked.once("error", () => answered.resolve(false));
  asked.end();
  return await answered.promise;
}

/** Absolute path of dockerd; null where it is not installed. */
export async function findEngineProgram(searchPath: readonly string[]): Promise<string | null> {
  for (const folder of searchPath) {
    const path = join(folder, "dockerd");
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  return null;
}

function spawnDaemon(
  { dataFolder, runFolder, searchPath, flags = [] }: PrivateEngineOptions,
  socket: string,
): { child: ChildProcess; output: () => string } {
  const own = [
    ...["--data-root", dataFolder, "--exec-root", join(runFolder, "exec"), "--pidfile", join(runFolder, "pid")],
    ...["--host", `unix://${socket}`, "--bridge=none", "--iptables=false", "--ip6tables=false"],
  ];
  const child = spawn("setpriv", ["--pdeathsig", "TERM", "dockerd", ...own, ...flags], {
    env: { PATH: searchPath.join(":") },
    detached: true, // Ctrl-C is for us: workers close their sandboxes first
    stdio: ["ignore", "ignore", "pipe"],
  });
  let kept = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    kept = (kept + text).slice(-OUTPUT_KEPT);
  });
  child.once("error", (error) => {
    kept += error.message;
  });
  return { child, output: () => kept };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGCONT"); // one that was stopped would not hear the next
  child.kill("SIGTERM");
  const killing = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await ended;
  clearTimeout(killing);
}

/** One that was killed leaves its containerd, the containers' shims and mounts: they are found by their folders. */
async function cleanUp({ dataFolder, runFolder, searchPath }: PrivateEngineOptions): Promise<void> {
  const deadline = Date.now() + STOP_MS;
  for (let left = await containerdOf(runFolder); left.length > 0 && Date.now() < deadline; ) {
    for (const pid of left) process.kill(pid, "SIGKILL");
    await delay(PROBE_EVERY_MS);
    left = await containerdOf(runFolder);
  }
  const mounts = (await readFile("/proc/self/mountinfo", "utf8")).split("\n").map((line) => line.split(" ")[4] ?? "");
  const own = mounts.filter((path) => [dataFolder, runFolder].some((folder) => path.startsWith(`${folder}/`)));
  for (const mount of own.reverse())
    await promisify(execFile)("umount", ["-l", mount], { env: { PATH: searchPath.join(":") } }).catch(() => undefined); // gone with another
}

async function containerdOf(folder: string): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => ({ pid, line: await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "") })),
  );
  return found.filter(({ line }) => /^\S*containerd/.test(line) && line.includes(folder)).map(({ pid }) => Number(pid));
}
