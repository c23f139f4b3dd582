import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { buildLight } from "../../docker/light/build.ts";

const run = promisify(execFile);

/** 6014: Linux 6.14, which stacks no layers that are mounted nowhere. 6002: nor maps it the ids of a memory file system. */
export const OLDER = [6014, 6002] as const;

/**
 * The native program of the light tier as it is or, with `POLYGYM_AS_LINUX=6014 ./polygym test contract/sandbox hostile/light`,
 * one that takes this kernel for an older one.
 */
export async function lightBinary(home: string, asLinux = process.env.POLYGYM_AS_LINUX): Promise<string> {
  if (asLinux === undefined) return await buildLight(home);
  const env = {
    POLYGYM_HOME: home,
    POLYGYM_CFLAGS: `-static -DAS_LINUX=${asLinux}`,
    PATH: "/usr/local/bin:/usr/bin:/bin",
  };
  return (await run(join(import.meta.dirname, "../../docker/light/build.sh"), [], { env })).stdout.trim();
}
