import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { promisify } from "node:util";
import { type Samples, sample } from "../report.ts";

const run = promisify(execFile);
/** As many as the machine that the target is set for has cores. */
export const BARE_PARALLEL = 2;
const STARTS = 200;
/** The distribution's, which image `host` has too; a version manager's is a shell script that takes several times as long. */
const SYSTEM_PYTHON = "/usr/bin/python3";

/** Starts of an interpreter that does nothing, without any isolation: what a verdict can at best cost here. */
export const barePython = (): Promise<Samples> => {
  const python = existsSync(SYSTEM_PYTHON) ? SYSTEM_PYTHON : "python3";
  return sample(STARTS, BARE_PARALLEL, async () => {
    await run(python, ["-c", "pass"]);
  });
};
