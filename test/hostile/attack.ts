import { execFile } from "node:child_process";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "vitest";
import type { Sandbox, SandboxLimits } from "../../core/sandbox.ts";
import type { Behaviour, Bench } from "../contract/sandbox.ts";
import { decode } from "../contract/sandbox-tools.ts";

/** One hostile program: what must hold where it runs, and what shows that it does harm where nothing holds it. */
export interface Attack extends Behaviour {
  /** Numbers of payloads.ts that it is a case of. */
  readonly of: readonly number[];
  readonly control: Control;
}

/** `run` passes when the attack works with the defence off; `none` says why that is not tried. */
export type Control = { readonly run: () => Promise<void> } | { readonly none: string };

const run = promisify(execFile);
/** Controls are short; a machine that stands still is not to wait for. */
const CONTROL_MS = 20_000;
export const T = 30_000;
export const MIB = 1024 * 1024;

/** All of root's power, no filter and no limits, in namespaces that end with the program, so that it harms nobody. */
const OPEN_GROUND = ["--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc"];

export async function onOpenGround(argv: readonly string[], options: { network?: boolean } = {}): Promise<string> {
  const cwd = await mkdtemp(join(tmpdir(), "polygym-control-"));
  try {
    await chmod(cwd, 0o777);
    const flags = options.network ? OPEN_GROUND : [...OPEN_GROUND, "--net"];
    const { stdout } = await run("unshare", [...flags, "--", ...argv], { cwd, timeout: CONTROL_MS });
    return stdout;
  } finally {
    await rm(cwd, { recursive: true, force: true });
  }
}

/** A control: on open ground the script says that it got what it wanted. */
export const shows = (script: string, said: RegExp): Control => ({
  run: async () => expect(await onOpenGround(["bash", "-c", script])).toMatch(said),
});

export const showsPython = (code: string, said: RegExp): Control => ({
  run: async () => expect(await onOpenGround(["python3", "-c", code])).toMatch(said),
});

export const bash = (sandbox: Sandbox, script: string, timeoutMs = T) =>
  sandbox.exec({ argv: ["bash", "-c", script], timeoutMs });
export const outOf = async (sandbox: Sandbox, script: string): Promise<string> =>
  decode((await bash(sandbox, script)).stdout).trim();
/** What a Python program prints; what it complains of when it prints nothing. */
export const python = async (sandbox: Sandbox, code: string): Promise<string> => {
  const result = await sandbox.exec({ argv: ["python3", "-c", code], timeoutMs: T });
  return decode(result.stdoutBytes > 0 ? result.stdout : result.stderr).trim();
};
/** Processes of that name which are not dead yet. */
export const living = async (sandbox: Sandbox, name: string): Promise<number> =>
  Number(await outOf(sandbox, `cat /proc/[0-9]*/stat 2>/dev/null | grep -c '^[0-9]* (${name}) [^ZX]'`));

/** Opens a second sandbox beside the one of the bench. */
export const neighbourOf = ({ provider }: Bench): Promise<Sandbox> =>
  provider.open({ image: "host", owner: "hostile" });

export async function inFresh(
  { provider }: Bench,
  limits: Partial<SandboxLimits>,
  attack: (sandbox: Sandbox) => Promise<void>,
): Promise<void> {
  await using sandbox = await provider.open({ image: "host", owner: "hostile", limits });
  await attack(sandbox);
}
