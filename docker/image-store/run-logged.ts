import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { GymError } from "../../core/errors.ts";

export const SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** The largest of our own images takes minutes on a slow line. */
export const BUILD_MS = 30 * 60_000;

/** Of one build: where images lie, what hears its log and what ends it. */
export interface BuildContext {
  /** POLYGYM_HOME. */
  readonly home: string;
  /** Name of the image. */
  readonly name: string;
  readonly onLog: (line: string) => void;
  readonly signal?: AbortSignal;
}

/** Arguments for setpriv: `script` in namespaces of its own, of which nothing is left when it or this process ends. */
export function unshared(script: string, args: readonly string[]): string[] {
  const own = ["--mount", "--pid", "--fork", "--kill-child"];
  return ["--pdeathsig", "KILL", "unshare", ...own, "sh", script, ...args];
}

/** Runs a program, tells its lines of error output, answers its output. One that ends badly is `image_failed`. */
export async function runLogged(context: BuildContext, program: string, args: readonly string[]): Promise<string> {
  const limit = AbortSignal.timeout(BUILD_MS);
  const signal = context.signal ? AbortSignal.any([context.signal, limit]) : limit;
  const env = { PATH: SYSTEM_PATH, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8" };
  const child = spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"], signal, killSignal: "SIGKILL" });
  const ended = new Promise<string>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, killedBy) => resolve(killedBy ?? `code ${code}`));
  });
  let rest = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) context.onLog(line);
  });
  try {
    const [output, how] = await Promise.all([text(child.stdout), ended]);
    if (rest !== "") context.onLog(rest);
    if (how !== "code 0") throw new Error(`${program} ended with ${how}`);
    return output;
  } catch (error) {
    context.signal?.throwIfAborted();
    const why = limit.aborted ? `no end within ${BUILD_MS / 60_000} minutes` : messageOf(error);
    throw new GymError("image_failed", `image ${context.name} was not built: ${why}`, { cause: error });
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
