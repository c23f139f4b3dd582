import { execFile } from "node:child_process";
import { release } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { buildLight } from "../../docker/light/build.ts";

const run = promisify(execFile);

/** Linux 6.14 stacks no layers that are mounted nowhere; 6.2 maps no ids of a memory file system either. */
export const OLDER = [6014, 6002] as const;

/** Of this machine, or what its native program takes it for: 6014 is 6.14. */
export function linux(): number {
  const [major, minor] = release().split(".").map(Number);
  return Number(process.env.POLYGYM_AS_LINUX ?? (major ?? 0) * 1_000 + (minor ?? 0));
}

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
