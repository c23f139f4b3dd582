import { join } from "node:path";
import { sha256, TaskId } from "../core/ids.ts";
import type { JsonObject } from "../core/json.ts";
import type { SandboxProvider, Snapshot, Submission } from "../core/sandbox.ts";
import { WORKSPACE } from "../core/sandbox.ts";
import type { FileTree, ScriptedChange, Task, TaskKind, TaskLanguage } from "../core/task.ts";
import type { Judgement } from "../core/verifier.ts";
import { openProvider } from "../docker/catalog.ts";
import { findVerifier } from "../verifiers/catalog.ts";
import { judgeSubmission } from "../verifiers/clean-room/judge-submission.ts";
import { ServerPool, type ServerPoolOptions } from "../verifiers/clean-room/server-pool.ts";

/** Tasks in memory and real judgements of them, for tests. */

export type Texts = Readonly<Record<string, string>>;

export const treeOf = (files: Texts): FileTree =>
  new Map(
    Object.entries(files)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([path, text]) => [path, { data: Buffer.from(text), mode: 0o644 }]),
  );

export interface TaskParts {
  readonly kind: TaskKind;
  readonly language: TaskLanguage;
  readonly files: Texts;
  readonly gold: Texts;
  readonly verifiers: Readonly<Record<string, { readonly files: Texts; readonly config: JsonObject }>>;
  readonly allowedProtected?: readonly string[];
  readonly setup?: string;
}

export function taskOf(parts: TaskParts): Task {
  return {
    id: TaskId.parse("test/task"),
    version: sha256(JSON.stringify(parts)),
    source: "test",
    title: "A task",
    description: "",
    keywords: [],
    split: "train",
    cluster: "test/task",
    kind: parts.kind,
    language: parts.language,
    image: "host",
    context: null,
    workdir: null,
    runtimes: [],
    instruction: "Solve it.",
    files: treeOf(parts.files),
    setup: parts.setup ?? null,
    allowedProtected: parts.allowedProtected ?? [],
    allowedHosts: [],
    limits: { memoryBytes: 256 * 1024 * 1024, diskBytes: 64 * 1024 * 1024, processes: 64 },
    wallS: 60,
    verifierS: 60,
    gold: changeOf(parts.gold),
    cheats: [],
    verifiers: Object.entries(parts.verifiers).map(([id, { files, config }]) => ({
      id,
      role: "train",
      files: treeOf(files),
      config,
    })),
  };
}

const changeOf = (files: Texts): ScriptedChange => ({
  name: "gold",
  description: "",
  files: treeOf(files),
  deleted: [],
  script: null,
});

export interface Attempt {
  readonly files?: Texts;
  readonly deleted?: readonly string[];
  /** Run in the workspace after the files are written. */
  readonly script?: string;
}

/** A provider, and the base of one task over it. Close it at the end. */
export class JudgingLab implements AsyncDisposable {
  readonly provider: SandboxProvider;
  readonly servers: ServerPool;
  readonly #bases = new Map<Task, Snapshot>();

  private constructor(provider: SandboxProvider, servers: ServerPool) {
    this.provider = provider;
    this.servers = servers;
  }

  static async open(pool: ServerPoolOptions = {}): Promise<JudgingLab> {
    const home = join(import.meta.dirname, "..", ".polygym", "test");
    return new JudgingLab(await openProvider({ tier: "light", home }), new ServerPool(pool));
  }

  /** Sandboxes that are open, but for those of servers that wait for the next room. */
  async sandboxesLeft(): Promise<number> {
    return (await this.provider.counts()).sandboxes - this.servers.idle;
  }

  /** The submission that an attempt leaves, made as an episode makes it. */
  async submit(task: Task, attempt: Attempt): Promise<Submission> {
    const sandbox = await this.provider.open({ image: "host", from: await this.base(task), owner: "attempt" });
    for (const path of attempt.deleted ?? []) await sandbox.remove(`${WORKSPACE}/${path}`);
    for (const [path, text] of Object.entries(attempt.files ?? {})) await sandbox.write(`${WORKSPACE}/${path}`, text);
    if (attempt.script !== undefined) await sandbox.exec({ argv: ["bash", "-c", attempt.script], timeoutMs: 30_000 });
    const snapshot = await sandbox.freeze();
    try {
      const exported = await this.provider.export(await this.base(task), snapshot, {
        root: WORKSPACE,
        maxBytes: 64 * 1024 * 1024,
        maxEntries: 10_000,
      });
      if (!exported.ok) throw new Error(exported.message);
      return exported.value;
    } finally {
      await this.provider.release(snapshot);
    }
  }

  async judge(task: Task, attempt: Attempt, verifierId: string, seed = 20_241_123): Promise<Judgement> {
    const submission = await this.submit(task, attempt);
    return this.judgeData(task, submission, verifierId, seed);
  }

  async judgeData(task: Task, submission: Submission, verifierId: string, seed = 7): Promise<Judgement> {
    const verifier = findVerifier(verifierId);
    if (verifier === undefined) throw new Error(`no verifier ${verifierId}`);
    return judgeSubmission({
      provider: this.provider,
      servers: this.servers,
      task,
      base: await this.base(task),
      plain: task.setup === null,
      submission,
      verifier,
      seed,
      wallMs: task.verifierS * 1000,
      signal: new AbortController().signal,
    });
  }

  /** Of one task, with its setup. */
  async base(task: Task): Promise<Snapshot> {
    const known = this.#bases.get(task);
    if (known !== undefined) return known;
    const sandbox = await this.provider.open({ image: task.image, owner: "base" });
    for (const [path, { data, mode }] of task.files) await sandbox.write(`${WORKSPACE}/${path}`, data, { mode });
    if (task.setup !== null) await sandbox.exec({ argv: ["bash", "-c", task.setup], timeoutMs: 30_000 });
    const base = await sandbox.freeze();
    this.#bases.set(task, base);
    return base;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.servers[Symbol.asyncDispose]();
    await this.provider.close();
  }
}
