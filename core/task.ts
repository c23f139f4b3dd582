import * as z from "zod";
import { Digest, TaskId } from "./ids.ts";
import { JsonObject } from "./json.ts";
import type { SandboxLimits } from "./sandbox.ts";

export const SPLITS = ["train", "dev", "sealed"] as const;
/** `dev` is held out and open to a trainer's evaluations; `sealed` exists for evaluators only. */
export const Split = z.enum(SPLITS);
export type Split = z.infer<typeof Split>;

export const ROLES_OF_VERDICTS = ["train", "shadow", "sealed"] as const;
export const VerdictRole = z.enum(ROLES_OF_VERDICTS);
export type VerdictRole = z.infer<typeof VerdictRole>;

export const TASK_KINDS = ["function", "program", "repository"] as const;
/**
 * function: named callables in one or more files · program: a command that reads stdin and writes stdout ·
 * repository: files with a test suite of their own.
 */
export const TaskKind = z.enum(TASK_KINDS);
export type TaskKind = z.infer<typeof TaskKind>;

export const TASK_LANGUAGES = ["python", "javascript", "shell"] as const;
export const TaskLanguage = z.enum(TASK_LANGUAGES);
export type TaskLanguage = z.infer<typeof TaskLanguage>;

/**
 * `task.toml`: the Harbor 1.4 tables that have a meaning here, plus `[polygym]` and `[[verifiers]]`. Keys of Harbor that
 * we do not use are kept, so that an export loses nothing.
 */
export const TaskToml = z.looseObject({
  schema_version: z.string().default("1.4"),
  task: z.looseObject({
    name: TaskId,
    description: z.string().default(""),
    keywords: z.array(z.string()).default([]),
  }),
  metadata: z.looseObject({ difficulty: z.string().optional(), category: z.string().optional() }).default({}),
  agent: z.looseObject({ timeout_sec: z.number().positive().optional() }).default({}),
  verifier: z.looseObject({ timeout_sec: z.number().positive().default(600) }).default({ timeout_sec: 600 }),
  environment: z
    .looseObject({
      cpus: z.int().positive().optional(),
      memory_mb: z.int().positive().optional(),
      storage_mb: z.int().positive().optional(),
      /**
       * Folder that the task's texts and tests mean by the working folder, e.g. "/app": another name of /workspace, by a link,
       * and what the image has there lies in the workspace. "/workspace": none. (Default: the image's WORKDIR)
       */
      workdir: z.string().optional(),
      /** `allowlist`: episodes reach `allowed_hosts` over a logged proxy, where the operator has egress on; else nothing. */
      network_mode: z.enum(["public", "no-network", "allowlist"]).optional(),
      /** Names, `*.suffix`, addresses and networks; no URL, port or path. Verifiers reach nothing at all. */
      allowed_hosts: z
        .array(z.string().regex(/^[A-Za-z0-9*._:/-]{1,253}$/, "is no host"))
        .max(64)
        .optional(),
    })
    .default({}),
  polygym: z.strictObject({
    kind: TaskKind,
    language: TaskLanguage,
    split: Split.default("train"),
    /** Near-duplicates and tasks of one repository share a cluster; a split never cuts one. (Default: the task's id) */
    cluster: z.string().optional(),
    /** (Default: what `environment/Dockerfile` makes, else "host") */
    image: z.string().optional(),
    /** Names of {@link ImageInfo.runtimes} that the task needs; one missing makes it unavailable. */
    runtimes: z.array(z.string()).default([]),
    /** A command run once in the base with `bash -c`, before anybody sees it. */
    setup: z.string().optional(),
    /** Paths (globs below the workspace) that gold may change although P3 protects their names. */
    allowed_protected: z.array(z.string()).default([]),
  }),
  verifiers: z
    .array(
      z.strictObject({
        id: z.string(),
        role: z.enum(["train", "shadow"]).default("train"),
        /** Folder below the task's own that holds the verifier's hidden files. */
        dir: z.string().optional(),
        /** Settings for this verifier; it parses them itself. */
        config: JsonObject.default({}),
      }),
    )
    .min(1),
});
export type TaskToml = z.infer<typeof TaskToml>;

export interface TaskFile {
  readonly data: Uint8Array;
  /** Permission bits. */
  readonly mode: number;
}

/** Path (relative, `/` between parts) → file. Iterates in sorted order. */
export type FileTree = ReadonlyMap<string, TaskFile>;

/** A solution or a cheat as data: files to write, paths to delete, then a script to run. */
export interface ScriptedChange {
  readonly name: string;
  readonly description: string;
  readonly files: FileTree;
  readonly deleted: readonly string[];
  /** Text of a bash script, run in the workspace after the files are written. */
  readonly script: string | null;
}

export interface TaskVerifier {
  readonly id: string;
  readonly role: "train" | "shadow";
  /** Hidden files; no sandbox of an episode ever holds them. */
  readonly files: FileTree;
  readonly config: JsonObject;
}

/** In the list of runtimes: a worker whose operator lets tasks reach the hosts that they declare. */
export const EGRESS = "egress";

/** One task, loaded. Immutable. It knows no framework. */
export interface Task {
  readonly id: TaskId;
  /** Digest of the folder's content; pinned on every episode. */
  readonly version: Digest;
  readonly source: string;
  readonly title: string;
  readonly description: string;
  readonly keywords: readonly string[];
  readonly split: Split;
  readonly cluster: string;
  readonly kind: TaskKind;
  readonly language: TaskLanguage;
  readonly image: string;
  /** What its own image is built from: `environment/` with a Dockerfile, by its digest; null for any other image. */
  readonly context: { readonly files: FileTree; readonly digest: Digest } | null;
  /** What its task.toml says of the working folder; null: the image's own counts. */
  readonly workdir: string | null;
  readonly runtimes: readonly string[];
  /** What the policy is told; the same text in every framework, for every verifier. */
  readonly instruction: string;
  /** Starting files of the workspace. */
  readonly files: FileTree;
  readonly setup: string | null;
  readonly allowedProtected: readonly string[];
  readonly limits: Partial<SandboxLimits>;
  /** What its episodes may reach; empty: nothing. Such a task needs the runtime {@link EGRESS}. */
  readonly allowedHosts: readonly string[];
  /** Wall time of a whole episode. (Default: 1800 s) */
  readonly wallS: number;
  /** Wall time of one verifier's run. (Default: 600 s) */
  readonly verifierS: number;
  readonly gold: ScriptedChange;
  readonly cheats: readonly ScriptedChange[];
  readonly verifiers: readonly TaskVerifier[];
}

/** What a list shows of a task; never hidden material. */
export const TaskSummary = z.object({
  id: TaskId,
  version: Digest,
  source: z.string(),
  title: z.string(),
  description: z.string(),
  keywords: z.array(z.string()),
  split: Split,
  cluster: z.string(),
  kind: TaskKind,
  language: TaskLanguage,
  image: z.string(),
  runtimes: z.array(z.string()),
  verifiers: z.array(z.object({ id: z.string(), role: z.enum(["train", "shadow"]) })),
});
export type TaskSummary = z.infer<typeof TaskSummary>;

/** A folder that is not served, and why. */
export interface QuarantinedTask {
  /** `source/name`, as its place says. */
  readonly id: string;
  /** Names file and key. */
  readonly reason: string;
}

/** A place that tasks come from: built in, or imported into `$POLYGYM_HOME/tasks`. */
export interface TaskCatalog {
  /** Sorted by id; without the quarantined ones. */
  list(): Promise<TaskSummary[]>;
  /** Folders that break the format, sorted by id. */
  quarantined(): Promise<QuarantinedTask[]>;
  /** Null when there is no such task. A folder that breaks the format is a GymError `task_invalid`. */
  load(id: TaskId): Promise<Task | null>;
  /** The task as it was in this version; null when that is not known here any more. */
  loadVersion(id: TaskId, version: Digest): Promise<Task | null>;
  /** Forgets what it cached, after an import. */
  refresh(): Promise<void>;
}
