import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { GymError } from "../../core/errors.ts";

const run = promisify(execFile);

/** Path of the native program; compiles it when its sources have changed since. */
export async function buildLight(home: string): Promise<string> {
  const script = join(import.meta.dirname, "build.sh");
  try {
    const env = { POLYGYM_HOME: home, PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" };
    return (await run(script, [], { env })).stdout.trim();
  } catch (error) {
    throw new GymError(
      "sandbox_unavailable",
      "the sandbox program cannot be built: install a C compiler (gcc libc6-dev)",
      {
        cause: error,
      },
    );
  }
}
