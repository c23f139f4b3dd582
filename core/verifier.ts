import * as z from "zod";
import { Digest } from "./ids.ts";
import { Json, JsonObject } from "./json.ts";
import type { Sandbox, SandboxProcess, Submission } from "./sandbox.ts";
import type { FileTree, Task } from "./task.ts";
import { type Split, VerdictRole } from "./task.ts";

/**
 * The verifier port: how an attempt is judged, from its submission alone, where its code cannot reach (DESIGN §2 rule 3).
 * A verifier knows no framework. What the submission did (crash, time-out, forged report) is a score; only our own failure
 * is an exception, and becomes a verdict of status `error`.
 */

export const Check = z.object({
  id: z.string(),
  status: z.enum(["passed", "failed", "missing", "error"]),
  message: z.string().optional().describe("clipped to 2,000 characters; text made by the attempt's code is untrusted"),
});
export type Check = z.infer<typeof Check>;

export const Flag = z.object({
  name: z.string().describe("stable, e.g. forged, protected_path, protocol_violation"),
  detail: z.string(),
});
export type Flag = z.infer<typeof Flag>;

/** What a verifier answers. Score 0 or 1, unless the verifier is graded. */
export const Judgement = z.object({
  score: z.number().min(0).max(1),
  checks: z.array(Check),
  flags: z.array(Flag),
  detail: JsonObject,
});
export type Judgement = z.infer<typeof Judgement>;

/** The append-only record (runtime.md §3): unique per (episode, verifier, version, attempt). */
export const Verdict = z.object({
  verifier: z.string(),
  version: z.string(),
  role: VerdictRole,
  attempt: z.int().min(1),
  status: z.enum(["scored", "error"]),
  score: z.number().min(0).max(1).nullable().describe("null when status is error"),
  checks: z.array(Check),
  flags: z.array(Flag),
  detail: JsonObject,
  seed: z.int(),
  submission: Digest.nullable(),
  base: z.string(),
  duration_ms: z.number(),
});
export type Verdict = z.infer<typeof Verdict>;

/** What a caller sees of a verdict. */
export const VerdictView = Verdict.pick({
  verifier: true,
  version: true,
  role: true,
  status: true,
  score: true,
}).extend({
  detail: Json,
});
export type VerdictView = z.infer<typeof VerdictView>;

export interface RoomLimits {
  /** Wall time for the whole verification. */
  readonly wallMs: number;
}

/** A trusted program that serves runs one after the other, each in a child process of its own (verifiers/calls/fork_server.py). */
export interface ServerProgram {
  /** Unique among programs, e.g. "judge". */
  readonly name: string;
  /** Name of an interpreter of the image. */
  readonly interpreter: string;
  readonly argv: readonly string[];
  /** What its sandbox holds: the bare image, or the task's base plus gold. */
  readonly over: "image" | "reference";
}

/** Byte code for one interpreter of one image, in base64. Holds the latest few hundred; never anything of a submission. */
export interface CodeCache {
  get(key: string): string | null;
  set(key: string, code: string): void;
}

/** A process that takes lines and answers on its channel: a command of a sandbox, or one run of a server. */
export type LineProcess = Pick<SandboxProcess, "write" | "closeStdin" | "kill" | "waitedMs" | "exit"> & AsyncDisposable;

/** One process of a {@link ServerProgram}, lent to one room at a time. */
export interface TrustedServer extends AsyncDisposable {
  /**
   * Begins a run: what is written first is its first line. The run ends as a process does, with its child's exit; `kill` ends
   * the whole server, `closeStdin` lets a child that waits for a line end. One at a time.
   */
  run(onChannel: (data: Uint8Array) => void): LineProcess;
}

/**
 * Where one verifier works. Every sandbox it gives is fresh, has no network, and is closed by the room. None of them ever
 * ran the episode's processes.
 */
export interface Room {
  readonly task: Task;
  /** This verifier's settings from `task.toml`, still to be parsed. */
  readonly config: JsonObject;
  /** This verifier's hidden files. */
  readonly files: FileTree;
  readonly submission: Submission;
  readonly limits: RoomLimits;
  /** Secret to the submission; same episode and verifier, same seed. */
  readonly seed: number;
  readonly signal: AbortSignal;
  /** Absolute path of an interpreter of the image, by its name in ImageInfo.runtimes. None: GymError `runtime_missing`. */
  interpreter(name: string): string;
  /**
   * Base plus submission, then `overlay` on top (protected files restored), in the place of what is there and of links of
   * the submission that lead there. Paths of `cleared` hold the overlay's files and nothing else. (Default cleared: none)
   */
  subject(overlay?: FileTree, cleared?: readonly string[]): Promise<Sandbox>;
  /** Base plus the task's gold. */
  reference(overlay?: FileTree): Promise<Sandbox>;
  /** The bare image with `files` in the workspace; nothing of the task or the submission. */
  judge(files?: FileTree): Promise<Sandbox>;
  /**
   * A server that may have served other rooms, always one at a time and never a program of a submission. Dispose it to give
   * it back; the room takes back what is left. It goes on to others only when every run ended in order and left no trace.
   */
  server(program: ServerProgram): Promise<TrustedServer>;
  /** What servers have compiled for this interpreter of the image. */
  compiled(interpreter: string): CodeCache;
}

export interface Verifier {
  readonly id: string;
  readonly version: string;
  readonly title: string;
  /** Says what it catches and what it cannot. */
  readonly description: string;
  readonly split: Split;
  /** True when scores between 0 and 1 have a meaning. */
  readonly graded: boolean;
  /**
   * True when, on this task, the attempt's code shares a process with what reports on it: such a verifier is never the only
   * train verifier of a task (runtime.md §8).
   */
  sharesProcess(task: Task): boolean;
  /** Null when it can judge this task; else why not. Looks at the task alone. */
  mismatch(task: Task): string | null;
  verify(room: Room): Promise<Judgement>;
}
