import type { Digest } from "./ids.ts";

/**
 * The sandbox port: an isolated place to run commands and hold files, opened from an image.
 * What a program inside did is a value (exit code, typed file error). What the tier could not do is a GymError
 * `sandbox_unavailable`, `sandbox_lost` or `sandbox_killed`. Every tier passes test/contract/sandbox.ts.
 */

/** Bounds of one sandbox. All are enforced by the tier or reported as missing by {@link SandboxProvider.selfCheck}. */
export interface SandboxLimits {
  /** Memory of all processes and of the sandbox's files together. (Default: 512 MiB) */
  readonly memoryBytes: number;
  /** Bytes of files that differ from the image, in frozen layers below it too. At most memoryBytes less a reserve. (Default: 256 MiB) */
  readonly diskBytes: number;
  /** Files and folders that differ from the image. (Default: 50,000) */
  readonly inodes: number;
  /** Processes and threads. (Default: 256) */
  readonly processes: number;
  /** Processor cores; nproc tells the same. (Default: 1) */
  readonly cpus: number;
}

export const DEFAULT_SANDBOX_LIMITS: SandboxLimits = {
  memoryBytes: 512 * 1024 * 1024,
  diskBytes: 256 * 1024 * 1024,
  inodes: 50_000,
  processes: 256,
  cpus: 1,
};

/** What any time-out is lengthened by at most. */
export const MOST_WITHHELD_MS = 60_000;

/** What a time-out is lengthened by at most, for time in which the machine had no processor for the sandbox. */
export const mostWithheldMs = (timeoutMs: number): number => Math.min(3 * timeoutMs, MOST_WITHHELD_MS);

export interface ExecRequest {
  /** Program and arguments; a bare name is looked up in the sandbox's PATH. Never passed through a shell. */
  readonly argv: readonly string[];
  /** Working folder. (Default: /workspace) */
  readonly cwd?: string;
  /** Added to the sandbox's base environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Bytes for standard input, then end of file. (Default: none, /dev/null) */
  readonly stdin?: string | Uint8Array;
  /**
   * When it has passed, every process the command started is killed and `timedOut` is true. 1..3,600,000. Where the tier
   * counts it, time in which the machine had no processor for the sandbox does not count, up to {@link mostWithheldMs}.
   */
  readonly timeoutMs: number;
  /** Kept bytes per stream: the first and the last half, the middle dropped. (Default: 1 MiB) */
  readonly maxOutputBytes?: number;
  /** Standard error goes into standard output, in order. (Default: false) */
  readonly mergeOutput?: boolean;
  /** Told of every chunk as it comes, also of those that the cap drops. */
  readonly onOutput?: (chunk: OutputChunk) => void;
  /**
   * Runs it on a terminal of its own: input is typed (control characters act, lines echo), all output comes as "stdout",
   * the end of input is typed, too. TERM is xterm-256color where the environment names none. (Default: pipes)
   */
  readonly pty?: TerminalSize;
}

/** 1..1000 each. */
export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

export interface OutputChunk {
  readonly stream: "stdout" | "stderr" | "channel";
  readonly data: Uint8Array;
}

export interface ExecResult {
  /** Null when a signal ended it, also on time-out. A null is not 0. */
  readonly exitCode: number | null;
  /** Name of the signal that ended it, e.g. "SIGKILL". */
  readonly signal: string | null;
  /** At most maxOutputBytes; the dropped middle is not marked here (see stdoutBytes). */
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  /** Bytes written in all, kept or not. */
  readonly stdoutBytes: number;
  readonly stderrBytes: number;
  readonly timedOut: boolean;
  /** True when the memory limit killed a process of the sandbox meanwhile. */
  readonly outOfMemory: boolean;
  readonly durationMs: number;
}

/** A running command with open streams. The one who spawns it kills it or waits for `exit`. */
export interface SandboxProcess extends AsyncDisposable {
  /**
   * Bytes to standard input; resolves when they are on their way. One who has written 128 KiB that the program has not taken
   * waits until it takes some, or ends. A closed stdin is not an error.
   */
  write(data: string | Uint8Array): Promise<void>;
  closeStdin(): Promise<void>;
  /** Gives its terminal another size; the programs in front get SIGWINCH. Nothing happens without a terminal or after the end. */
  resize(size: TerminalSize): Promise<void>;
  /** Sends a signal, e.g. "SIGINT", to the command and its process group. Nothing happens after the command's end. */
  signal(name: string): Promise<void>;
  /** Kills the command and everything it started. Idempotent. */
  kill(): Promise<void>;
  /**
   * How long all programs of its sandbox together could do nothing since it was opened, as the machine had no processor for
   * any of them; only differences mean something. What they wait for each other, or by their own limits, does not count.
   * Output of the command that has left the sandbox is told before this resolves. Null where nobody counts it, when the
   * sandbox does not say within seconds, and after its end. Never rejects.
   */
  waitedMs(): Promise<number | null>;
  /** Resolves once, after the last output. Never rejects for what the program did. */
  readonly exit: Promise<ExecResult>;
}

export interface SpawnRequest extends Omit<ExecRequest, "stdin"> {
  /**
   * Opens descriptor 3 for writing in the command; what it writes there comes as chunks of stream "channel".
   * Standard output cannot reach it. (Default: false)
   */
  readonly channel?: boolean;
}

export interface ShellOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export interface ShellRunOptions {
  readonly timeoutMs: number;
  readonly maxOutputBytes?: number;
  readonly onOutput?: (chunk: OutputChunk) => void;
}

export interface ShellResult extends Omit<ExecResult, "signal"> {
  /** True when the shell itself has ended (exit, kill, time-out); its next run is refused until it is opened anew. */
  readonly exited: boolean;
}

/**
 * A persistent bash: working folder, variables and functions last from run to run. Its prompt marks travel on their own
 * descriptors, so output cannot forge them. On time-out the shell and all it started are killed.
 */
export interface Shell extends AsyncDisposable {
  /** One at a time; a second call waits for the first. */
  run(command: string, options: ShellRunOptions): Promise<ShellResult>;
  /** Idempotent. */
  close(): Promise<void>;
}

export const FILE_ERRORS = [
  "not_found",
  "not_a_file",
  "not_a_directory",
  "too_large",
  "no_space",
  "no_permission",
  "invalid_path",
  "busy",
  "other",
] as const;
export type FileErrorCode = (typeof FILE_ERRORS)[number];

/** A file operation that the sandbox's own state made impossible is a value. */
export type FileResult<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: FileErrorCode; readonly message: string };

export interface FileStat {
  readonly type: "file" | "directory" | "symlink" | "other";
  readonly size: number;
  /** Permission bits, e.g. 0o644. */
  readonly mode: number;
}

export interface DirectoryEntry extends FileStat {
  /** Path below the listed folder; bytes that are not UTF-8 are replaced by U+FFFD. */
  readonly path: string;
  /** The path's own bytes. */
  readonly rawPath: Uint8Array;
}

/** Programs of a sandbox, by the names they give themselves: untrusted text, without control characters. */
export interface Programs {
  readonly count: number;
  /** Different names of at most 16 of them, sorted. */
  readonly commands: readonly string[];
}

/** A frozen state of files: an image and the layers above it. Data only; the tier holds the layers until it is released. */
export interface Snapshot {
  readonly id: string;
  readonly image: string;
  /** Content digest of the image's definition. */
  readonly imageDigest: Digest;
  /** Programs that ran until the freeze ended them. Null when the sandbox could not say. */
  readonly lost: Programs | null;
}

export interface ManifestEntry {
  /** Relative to the submission's root, `/` between parts, no `.` or `..`. */
  readonly path: string;
  readonly type: "file" | "directory" | "symlink" | "deleted";
  readonly mode: number;
  /** Bytes of a file; 0 else. */
  readonly size: number;
  /** Digest of a file's bytes or of a link's target; null else. */
  readonly sha256: Digest | null;
}

/** What an attempt changed since its base, as data (runtime.md §5). */
export interface Submission {
  /** Absolute folder inside the sandbox that all paths are relative to. */
  readonly root: string;
  /** Sorted by path. */
  readonly manifest: readonly ManifestEntry[];
  /** Canonical tar: sorted, times 0, owner 0, only files, folders and links. */
  readonly tar: Uint8Array;
  /** Things left out because they may not travel: devices, sockets, set-user-id bits, hard links made copies. */
  readonly refused: readonly { readonly path: string; readonly reason: string }[];
}

export interface ExportOptions {
  /** Absolute folder to export. (Default: /workspace) */
  readonly root: string;
  /** More than this many bytes of files is a file error `too_large`. */
  readonly maxBytes: number;
  readonly maxEntries: number;
}

export interface FreezeOptions {
  readonly optional?: boolean;
}

/** One connection of a program inside: a duplex stream of bytes. Destroying it resets what the program has. */
export type ForwardedConnection = NodeJS.ReadWriteStream & { destroy(error?: Error): unknown };

/** How a sandbox came to be. */
export interface SandboxOpening {
  /** How long its start waited for the starts of others. */
  readonly queuedMs: number;
  /** How long its start ran. Both are 0 of one that had waited ready. */
  readonly startMs: number;
}

export interface Sandbox extends AsyncDisposable {
  readonly id: string;
  readonly image: string;
  readonly opening: SandboxOpening;
  exec(request: ExecRequest, signal?: AbortSignal): Promise<ExecResult>;
  spawn(request: SpawnRequest): Promise<SandboxProcess>;
  shell(options?: ShellOptions): Promise<Shell>;
  /** Follows links inside the sandbox only; relative paths start at /workspace. (Default maxBytes: 16 MiB) */
  read(path: string, options?: { readonly maxBytes?: number }): Promise<FileResult<Uint8Array>>;
  /** Makes missing parents; replaces the whole file. (Default mode: 0o644, or what the file had) */
  write(path: string, data: string | Uint8Array, options?: { readonly mode?: number }): Promise<FileResult<void>>;
  /** Names sorted by bytes, links not followed; `depth` 1 lists the folder itself. */
  list(
    path: string,
    options?: { readonly depth?: number; readonly maxEntries?: number },
  ): Promise<FileResult<DirectoryEntry[]>>;
  /** Follows links. */
  stat(path: string): Promise<FileResult<FileStat>>;
  /** Removes a file or a whole folder; nothing there is `not_found`. */
  remove(path: string): Promise<FileResult<void>>;
  /**
   * What runs now. Persistent shells do not count (what they started does), nor does what the tier itself runs. Null when
   * the sandbox does not say within a second: its programs give it no turn.
   */
  programs(): Promise<Programs | null>;
  /**
   * Connections that programs make to 127.0.0.1:`port` come out here, as streams of bytes with back-pressure in both
   * directions; the sandbox itself reaches nothing. Ports are 1024..65535, at most 4; at most 64 connections are open at
   * once, more are closed when they are made. All end with the sandbox. Whoever gets a stream closes or cancels it.
   */
  forward(port: number, onConnection: (connection: ForwardedConnection) => void): Promise<void>;
  /**
   * Kills every process and turns what was written into a read-only layer. The sandbox is closed by it. The caller
   * releases the snapshot. When frozen states have used up their memory it waits a while, then fails with a retryable
   * `sandbox_unavailable`; the sandbox then stays open. `optional`: it never waits, and leaves the last quarter of that memory
   * to those who must freeze. (Default: false)
   */
  freeze(options?: FreezeOptions): Promise<Snapshot>;
  /** Kills every process and frees everything. Idempotent, also after a loss. */
  close(): Promise<void>;
}

export interface OpenRequest {
  /** Name of an image, e.g. "host". */
  readonly image: string;
  /** Start from this frozen state instead of the bare image. Its image must be the same. */
  readonly from?: Snapshot;
  /**
   * Folder that is to be another name of the workspace: a link to it, and what the image has in it lies in the workspace. One
   * that cannot be is `image_failed`. A frozen state has what it was frozen with. (Default: none)
   */
  readonly workdir?: string | null;
  readonly limits?: Partial<SandboxLimits>;
  /** Base environment of every command, beside PATH, HOME and LANG. */
  readonly env?: Readonly<Record<string, string>>;
  /** Owner, for reap and logs: `<episode>-t<term>` or a verifier's name. */
  readonly owner: string;
}

export interface ImageInfo {
  readonly image: string;
  readonly digest: Digest;
  /** The image's own working folder, other than the workspace; null: none. A task's base makes it {@link OpenRequest.workdir}. */
  readonly workdir: string | null;
  /** Interpreters and tools found: name → absolute path inside and version text. */
  readonly runtimes: Readonly<Record<string, { readonly path: string; readonly version: string }>>;
}

export interface SelfCheck {
  readonly tier: string;
  /** "root" enforces all; "user" says in `missing` what it cannot. */
  readonly mode: "root" | "user" | "none";
  readonly enforced: readonly string[];
  readonly missing: readonly { readonly what: string; readonly advice: string }[];
}

export interface SandboxCounts {
  readonly sandboxes: number;
  readonly snapshots: number;
  /** What frozen states hold, in memory or on disk. */
  readonly snapshotBytes: number;
}

/** Only workers (and the bench) construct one. */
export interface SandboxProvider extends AsyncDisposable {
  readonly tier: string;
  /** Freezing and opening again take milliseconds, whatever the size. Else the files are copied. */
  readonly freezesInPlace: boolean;
  open(request: OpenRequest): Promise<Sandbox>;
  /** n sandboxes over the same frozen layers, in constant time. */
  fork(snapshot: Snapshot, n: number, request: Omit<OpenRequest, "from" | "image">): Promise<Sandbox[]>;
  /**
   * What `snapshot` changed under `root` since `base`, streamed by an exporter sandbox over the frozen layers
   * (runtime.md §5). `snapshot` must have been frozen from a sandbox opened from `base`.
   */
  export(base: Snapshot, snapshot: Snapshot, options: ExportOptions): Promise<FileResult<Submission>>;
  /** Frees a snapshot's layers when no sandbox stands on them any more. Idempotent. */
  release(snapshot: Snapshot): Promise<void>;
  /** False when it was released, is another process's, or was lost with what held it: nothing can be opened from it. */
  holds(snapshot: Snapshot): boolean;
  /** Frees what processes that no longer live have left on this machine. Idempotent. Answers how many. */
  reap(): Promise<number>;
  image(name: string): Promise<ImageInfo>;
  selfCheck(): Promise<SelfCheck>;
  counts(): Promise<SandboxCounts>;
  /** Closes every sandbox and frees everything. Idempotent. */
  close(): Promise<void>;
}

/** Where every sandbox has its task's files, and where commands start. */
export const WORKSPACE = "/workspace";
