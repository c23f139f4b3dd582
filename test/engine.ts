import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { findEngineProgram, type PrivateEngine, startPrivateEngine } from "../platform/private-engine.ts";
import { installByApt } from "./apt.ts";

/**
 * A container engine for tests: a private one with its own folders and socket. It is installed where it is not there, and
 * it ends with the tests.
 */

const FOLDERS = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

export interface TestEngine {
  /** For `openProvider({ engine })` and DOCKER_HOST. */
  readonly address: string;
  /** Ends the daemon and keeps its data. */
  end(): Promise<void>;
  /** Starts it again after {@link end}. */
  start(): Promise<void>;
  /** Sends its process a signal; one that was stopped goes on with SIGCONT. */
  signal(name: NodeJS.Signals): void;
  /** Ends it and removes everything. */
  stop(): Promise<void>;
}

export type EngineForTests = { readonly engine: TestEngine } | { readonly engine: null; readonly reason: string };

/** Starts an engine, or says why these tests cannot have one. Whoever starts it stops it. */
export async function startEngine(flags: readonly string[] = []): Promise<EngineForTests> {
  try {
    if (process.geteuid?.() !== 0) return unavailable("an engine needs root");
    if (process.platform !== "linux") return unavailable("an engine needs Linux");
    if ((await findEngineProgram(FOLDERS)) === null) {
      const problem = installByApt("docker.io");
      if (problem !== null) return unavailable(problem);
    }
    const folder = await mkdtemp("/run/polygym-engine-");
    const engine = engineIn(folder, flags);
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

function engineIn(folder: string, flags: readonly string[]): TestEngine {
  const options = { dataFolder: join(folder, "data"), runFolder: folder, searchPath: FOLDERS, flags };
  let running: PrivateEngine | null = null;
  const end = async (): Promise<void> => {
    const ending = running;
    running = null;
    await ending?.close();
  };
  return {
    address: `unix://${join(folder, "engine.sock")}`,
    start: async () => {
      running = await startPrivateEngine(options);
    },
    end,
    signal: (name) => void (running && process.kill(running.pid, name)),
    stop: async () => {
      await end();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
