import * as z from "zod";
import type { OutputChunk, Sandbox, Shell } from "../../../core/sandbox.ts";
import { quote } from "./bash-encoding.ts";
import { decodeText } from "./clip.ts";

/**
 * A persistent bash of one episode: opened at its first command, and again by `restart`. closed: not opened yet ·
 * open · exited: it ended by itself · timed_out: a command took too long, and the shell was killed with it.
 */
export const ShellState = z.discriminatedUnion("status", [
  z.strictObject({ status: z.literal("closed") }),
  z.strictObject({ status: z.literal("open"), script: z.string() }),
  z.strictObject({ status: z.literal("exited"), exitCode: z.int().nullable() }),
  z.strictObject({ status: z.literal("timed_out") }),
]);
/** What another sandbox needs to continue this shell: `script` sets its folder, variables, functions and options. */
export type ShellState = z.infer<typeof ShellState>;

export interface ShellRequest {
  readonly command: string;
  readonly timeoutMs: number;
  readonly maxOutputBytes: number;
  readonly onOutput: (chunk: OutputChunk) => void;
  readonly signal: AbortSignal;
}

export type ShellOutcome =
  | { readonly status: "done"; readonly stdout: string; readonly stderr: string }
  | { readonly status: "exited"; readonly exitCode: number | null; readonly stdout: string; readonly stderr: string }
  | { readonly status: "timed_out" };

type Live =
  | { readonly status: "closed"; readonly script: string | null }
  | { readonly status: "open"; readonly shell: Shell }
  | { readonly status: "exited"; readonly exitCode: number | null }
  | { readonly status: "timed_out" };

/** Time for our own commands in the shell: reading its state and setting it again. */
const HOUSEKEEPING_MS = 10_000;
/** A state beyond this is not kept whole: folder and exported variables only. */
const MAX_STATE_BYTES = 256 * 1024;

// `builtin`, because the shell's own functions may hide these names; a subshell, so that nothing of ours stays.
// Options come before functions, whose text may need them. Bash makes its own read-only variables itself.
const dumpPlace = `builtin printf 'builtin cd -- %q\n' "$PWD"; builtin umask -p`;
const dumpVariables = `for __gym in $(builtin compgen -v); do
case $__gym in BASH*|COMP_*|DIRSTACK|EPOCH*|EUID|FUNCNAME|GROUPS|HISTCMD|LINENO|PIPESTATUS|PPID|PWD|RANDOM|SECONDS|SHELLOPTS|SRANDOM|UID|_|__gym*) builtin continue;; esac
builtin declare -p "$__gym"
done`;
// The last status comes last; where a failure would end the shell, there is none to carry.
const dumpStatus = `case $- in *e*) ;; *) builtin printf '(builtin exit %d)\n' "$__gym_status";; esac; builtin unset __gym_status`;
const dumpAll = `__gym_status=$?; ( builtin set +eu; ${dumpPlace}; builtin shopt -p; ${dumpVariables}
builtin declare -f; builtin alias -p; builtin trap -p ) 2>/dev/null; builtin set +o; ${dumpStatus}`;
const dumpExported = `${dumpPlace}; builtin export -p`;

export class PersistentShell implements AsyncDisposable {
  readonly #sandbox: Sandbox;
  readonly #cwd: string;
  #live: Live;

  constructor(sandbox: Sandbox, cwd: string, resume: ShellState | null) {
    this.#sandbox = sandbox;
    this.#cwd = cwd;
    this.#live =
      resume === null || resume.status === "closed"
        ? { status: "closed", script: null }
        : resume.status === "open"
          ? { status: "closed", script: resume.script }
          : resume;
  }

  async run(request: ShellRequest): Promise<ShellOutcome> {
    const shell = await this.#opened();
    if (shell.status !== "open") return shell.status === "exited" ? { ...shell, stdout: "", stderr: "" } : shell;
    const { command, timeoutMs, maxOutputBytes, onOutput, signal } = request;
    signal.throwIfAborted();
    const abandon = () => {
      void shell.shell.close(); // idempotent, and the run below ends by it
    };
    signal.addEventListener("abort", abandon, { once: true });
    try {
      const result = await shell.shell.run(command, { timeoutMs, maxOutputBytes, onOutput });
      signal.throwIfAborted();
      if (result.timedOut) {
        this.#live = { status: "timed_out" };
        return this.#live;
      }
      const stdout = decodeText(result.stdout);
      const stderr = decodeText(result.stderr);
      if (!result.exited) return { status: "done", stdout, stderr };
      this.#live = { status: "exited", exitCode: result.exitCode };
      return { ...this.#live, stdout, stderr };
    } finally {
      signal.removeEventListener("abort", abandon);
      if (signal.aborted) this.#live = { status: "timed_out" };
    }
  }

  /** A fresh shell in the workspace, whatever became of the old one. */
  async restart(): Promise<void> {
    if (this.#live.status === "open") await this.#live.shell.close();
    this.#live = { status: "closed", script: null };
    await this.#opened();
  }

  async state(): Promise<ShellState> {
    const live = this.#live;
    if (live.status === "closed")
      return live.script === null ? { status: "closed" } : { status: "open", script: live.script };
    if (live.status !== "open") return live;
    const options = { timeoutMs: HOUSEKEEPING_MS, maxOutputBytes: MAX_STATE_BYTES };
    let result = await live.shell.run(dumpAll, options);
    if (result.stdoutBytes > result.stdout.byteLength && !result.exited)
      result = await live.shell.run(dumpExported, options);
    if (result.exited) {
      this.#live = result.timedOut ? { status: "timed_out" } : { status: "exited", exitCode: result.exitCode };
      return this.#live;
    }
    return { status: "open", script: decodeText(result.stdout) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#live.status === "open") await this.#live.shell.close();
  }

  async #opened(): Promise<Exclude<Live, { status: "closed" }>> {
    if (this.#live.status !== "closed") return this.#live;
    const { script } = this.#live;
    const shell = await this.#sandbox.shell({ cwd: this.#cwd });
    if (script !== null) await shell.run(`builtin eval ${quote(script)} 2>/dev/null`, { timeoutMs: HOUSEKEEPING_MS });
    this.#live = { status: "open", shell };
    return this.#live;
  }
}
