import { constants } from "node:os";
import type { ExecResult, OutputChunk, Sandbox } from "../../../core/sandbox.ts";
import { MAX_ARGUMENT_BYTES } from "./bash-encoding.ts";
import { decodeText } from "./clip.ts";

export interface BashRequest {
  readonly command: string;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly maxOutputBytes: number;
  readonly onOutput: (chunk: OutputChunk) => void;
  readonly signal: AbortSignal;
}

/** What a command that ran by itself, in a fresh `bash -c`, came to. */
export interface BashOutcome {
  /** Standard output and error, merged in order. */
  readonly output: string;
  /** Bytes that the cap dropped from the middle. */
  readonly droppedBytes: number;
  /** Exit code; minus the signal's number when a signal ended it, -1 when it did not run or ran out of time. */
  readonly returncode: number;
  /** Why it did not run to its end; null when it did. */
  readonly exception: string | null;
}

const signalNumbers: Readonly<Record<string, number>> = constants.signals;

function returncodeOf(result: ExecResult): number {
  if (result.exitCode !== null) return result.exitCode;
  return result.signal === null ? -1 : -(signalNumbers[result.signal] ?? 1);
}

function refusal(command: string): string | null {
  if (command.includes("\0")) return "embedded null byte";
  if (Buffer.byteLength(command) >= MAX_ARGUMENT_BYTES) return "[Errno 7] Argument list too long: 'bash'";
  return null;
}

/** Runs one stateless command: working folder and variables last no longer than it does. */
export async function runBash(sandbox: Sandbox, request: BashRequest): Promise<BashOutcome> {
  const refused = refusal(request.command);
  if (refused !== null) return { output: "", droppedBytes: 0, returncode: -1, exception: refused };
  const { command, cwd, env, timeoutMs, maxOutputBytes, onOutput, signal } = request;
  const result = await sandbox.exec(
    { argv: ["bash", "-c", command], cwd, env, timeoutMs, maxOutputBytes, onOutput, mergeOutput: true },
    signal,
  );
  return {
    output: decodeText(result.stdout),
    droppedBytes: result.stdoutBytes - result.stdout.byteLength,
    returncode: result.timedOut ? -1 : returncodeOf(result),
    exception: result.timedOut ? `Command timed out after ${timeoutMs / 1000} seconds` : null,
  };
}
