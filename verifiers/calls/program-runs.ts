import { GymError } from "../../core/errors.ts";
import type { ExecResult, Sandbox } from "../../core/sandbox.ts";
import type { Room } from "../../core/verifier.ts";
import { isContained } from "../clean-room/path-policy.ts";
import { workspacePath } from "../clean-room/room.ts";

export interface ProgramRun {
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly stdin: string;
  /** Put in the workspace for this run; what was there before is there again after it. */
  readonly files: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly maxOutputBytes?: number;
}

/** The command with its interpreter by absolute path, when the image knows it: no search path decides what runs. */
export function absoluteCommand(command: readonly string[], room: Pick<Room, "interpreter">): string[] {
  const [program = "", ...rest] = command;
  if (program.includes("/")) return [program, ...rest];
  try {
    return [room.interpreter(program), ...rest];
  } catch {
    return [program, ...rest];
  }
}

/** One fresh process of the program, with pipes for its streams. Whatever it does is a value. */
export async function runProgram(sandbox: Sandbox, run: ProgramRun): Promise<ExecResult> {
  const restore = await placeFiles(sandbox, run.files);
  const result = await sandbox.exec({
    argv: [...run.command, ...run.args],
    stdin: run.stdin,
    timeoutMs: run.timeoutMs,
    ...(run.maxOutputBytes === undefined ? {} : { maxOutputBytes: run.maxOutputBytes }),
  });
  await restore();
  return result;
}

async function placeFiles(sandbox: Sandbox, files: Readonly<Record<string, string>>): Promise<() => Promise<void>> {
  const before = new Map<string, Uint8Array | null>();
  for (const [path, text] of Object.entries(files)) {
    if (!isContained(path)) throw new GymError("task_invalid", `${path} is not a path below the workspace`);
    const old = await sandbox.read(workspacePath(path));
    before.set(path, old.ok ? old.value : null);
    // Where a folder of the submission is in the way, the program does not find its file: its own doing.
    await sandbox.write(workspacePath(path), text);
  }
  return async () => {
    for (const [path, data] of before)
      await (data === null ? sandbox.remove(workspacePath(path)) : sandbox.write(workspacePath(path), data));
  };
}

/** As text, with a replacement character for what is not UTF-8. */
export const textOf = (data: Uint8Array): string => Buffer.from(data).toString("utf8");
