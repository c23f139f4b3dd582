import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { GymError } from "../../core/errors.ts";
import { type Frame, FrameParser, Payload, PayloadReader } from "./frames.ts";
import type { ImageDefinition } from "./image.ts";
import { runFolderPrefix } from "./run-folders.ts";

/** How a sandbox ended by itself, or why its start failed (`reason`). */
export interface SandboxEnd {
  readonly outOfMemory: boolean;
  /** Wait status of its first process. */
  readonly status: number;
  /** Why it could not start; else empty. */
  readonly reason: string;
}

export interface HostAbilities {
  readonly rootMode: boolean;
  /** Bits of the control groups in force: memory 1, pids 2, cpu 4, cpuset 8, unified 16. */
  readonly groups: number;
  readonly cpus: number;
  /** Each sandbox has ids that no other has. */
  readonly ownIds: boolean;
}

interface Waiting {
  resolve(payload: Buffer): void;
  reject(error: GymError): void;
}

/**
 * The native host of one worker process: it makes and ends sandboxes and keeps frozen layers. It ends when this process
 * ends, however that happens, and every sandbox with it.
 */
export class HostProcess {
  readonly abilities: HostAbilities;
  /** Resolves when the process has ended; never rejects. */
  readonly exited: Promise<void>;
  readonly #start: StartedHost;
  readonly #waiting: Map<number, Waiting>;
  readonly #ends = new Map<number, (end: SandboxEnd) => void>();
  #next = 1_000;
  #sandboxes = 0;
  #alive = true;

  private constructor(start: StartedHost, abilities: HostAbilities, waiting: Map<number, Waiting>) {
    this.#start = start;
    this.#waiting = waiting;
    this.abilities = abilities;
    this.exited = start.exited.then(() => {
      this.#alive = false;
      for (const end of this.#ends.values())
        end({ outOfMemory: false, status: 0, reason: "the sandbox host has ended" });
      this.#ends.clear();
    });
  }

  /** Starts the process, gives it the images and waits until it can make sandboxes. */
  static async start(binary: string, images: readonly ImageDefinition[]): Promise<HostProcess> {
    const waiting = new Map<number, Waiting>();
    const start = await startProcess(binary);
    let host: HostProcess | undefined;
    listen(start, waiting, (frame) => host?.onEvent(frame));
    try {
      for (const [number, image] of images.entries())
        await ask(start, waiting, number + 1, "I", describe(number, image));
      const reader = new PayloadReader(await ask(start, waiting, images.length + 1, "G", new Payload()));
      const rootMode = reader.u32() === 1;
      const groups = reader.u32();
      reader.u32();
      const cpus = reader.u32();
      host = new HostProcess(start, { rootMode, groups, cpus, ownIds: reader.u32() === 1 }, waiting);
      return host;
    } catch (error) {
      start.stdin.end();
      await start.exited;
      throw error;
    }
  }

  get alive(): boolean {
    return this.#alive;
  }

  get pid(): number | undefined {
    return this.#start.child.pid;
  }

  /** A number that no sandbox of this host has had. */
  nextSandbox(): number {
    return ++this.#sandboxes;
  }

  /** Path of the socket that sandbox `id` listens on. */
  socketPath(id: number): string {
    return join(this.#start.runDir, String(id));
  }

  async request(type: string, payload: Payload): Promise<Buffer> {
    if (!this.#alive) throw new GymError("sandbox_lost", "the sandbox host has ended");
    return await ask(this.#start, this.#waiting, this.#next++, type, payload);
  }

  /** Calls `end` once when sandbox `id` ends without being asked to. */
  onEnd(id: number, end: (end: SandboxEnd) => void): void {
    this.#ends.set(id, end);
  }

  forget(id: number): void {
    this.#ends.delete(id);
  }

  onEvent(frame: Frame): void {
    const reader = new PayloadReader(frame.payload);
    const id = reader.u32();
    const status = reader.u32();
    const outOfMemory = reader.u32() > 0;
    const end = this.#ends.get(id);
    this.#ends.delete(id);
    end?.({ outOfMemory, status, reason: reader.bytes().toString() });
  }

  /** Ends every sandbox and waits until nothing of them is left. */
  async close(): Promise<void> {
    this.#start.stdin.end();
    await this.exited;
  }
}

interface StartedHost {
  readonly child: ChildProcess;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly runDir: string;
  readonly exited: Promise<void>;
  readonly stderr: () => string;
}

/** Root-only where root runs it: a socket in it is a way into a sandbox. */
async function makeRunFolder(): Promise<string> {
  const root = process.geteuid?.() === 0;
  const parent = root ? "/run/polygym-light" : `/tmp/polygym-light-${process.geteuid?.() ?? 0}`;
  await mkdir(parent, { recursive: true, mode: 0o700 });
  return await mkdtemp(join(parent, await runFolderPrefix()));
}

async function startProcess(binary: string): Promise<StartedHost> {
  const runDir = await makeRunFolder();
  // An own session: a Ctrl-C at the terminal is the worker's to handle.
  const child = spawn(binary, ["host", runDir, binary], { stdio: ["pipe", "pipe", "pipe"], detached: true, env: {} });
  const { stdin, stdout, stderr } = child;
  let errors = "";
  stderr.setEncoding("utf8").on("data", (text: string) => {
    errors = (errors + text).slice(-4_096);
  });
  stdin.on("error", () => undefined); // its end is reported by `exited`
  const exited = new Promise<void>((resolve) => {
    child.once("error", (error) => {
      errors += error.message;
      resolve();
    });
    child.once("close", () => resolve());
  }).then(() => rm(runDir, { recursive: true, force: true }));
  return { child, stdin, stdout, runDir, exited, stderr: () => errors };
}

function listen(start: StartedHost, waiting: Map<number, Waiting>, onEvent: (frame: Frame) => void): void {
  const parser = new FrameParser();
  start.stdout.on("data", (chunk: Buffer) => {
    parser.push(chunk, (frame) => {
      if (frame.id === 0) return onEvent(frame);
      const entry = waiting.get(frame.id);
      waiting.delete(frame.id);
      if (frame.type === "o") entry?.resolve(Buffer.from(frame.payload));
      else entry?.reject(new GymError("sandbox_unavailable", `the sandbox host refused: ${frame.payload.toString()}`));
    });
  });
  start.exited.then(
    () => {
      const error = new GymError("sandbox_lost", `the sandbox host has ended ${start.stderr()}`.trim());
      for (const entry of waiting.values()) entry.reject(error);
      waiting.clear();
    },
    () => undefined,
  );
}

async function ask(
  start: StartedHost,
  waiting: Map<number, Waiting>,
  id: number,
  type: string,
  payload: Payload,
): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  waiting.set(id, { resolve, reject });
  start.stdin.write(payload.frame(id, type));
  return await promise;
}

function describe(number: number, image: ImageDefinition): Payload {
  const payload = new Payload().u32(number).text(image.skeleton).u32(image.mounts.length);
  for (const mount of image.mounts) {
    payload.text(mount.target).u32(mount.masks.length);
    for (const mask of mount.masks) payload.text(mask);
    payload.u32(mount.lowers.length);
    for (const lower of mount.lowers) payload.text(lower);
  }
  return payload;
}
