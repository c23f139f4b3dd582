import type { CreateEpisode } from "../core/api.ts";
import { resolveCell, type VerifierEntry } from "../core/catalog.ts";
import type { EpisodeEnvironment } from "../core/episode.ts";
import { GymError, ProblemError } from "../core/errors.ts";
import type { Framework } from "../core/framework.ts";
import type { TaskId } from "../core/ids.ts";
import type { ScriptName } from "../core/policy.ts";
import type { Task, TaskSummary } from "../core/task.ts";
import type { Verifier } from "../core/verifier.ts";
import { taskView } from "../environments/catalog.ts";
import { actsOnSplit, type Caller, seesSplit } from "./auth/caller.ts";
import { imageMisfit } from "./images.ts";
import { nearest } from "./nearest.ts";
import type { Occupancy } from "./occupancy.ts";
import type { Catalog } from "./parts.ts";

/** Task × framework pairs whose fit is remembered. */
const MAX_REMEMBERED = 10_000;

export type CellRequest = Pick<CreateEpisode, "task_id" | "framework" | "framework_config" | "verifiers">;

export interface Cell {
  readonly task: Task;
  readonly framework: Framework;
  readonly environment: EpisodeEnvironment;
}

/** Finds tasks, frameworks and verifiers as a caller sees them, and what fits together. */
export class Cells {
  readonly #catalog: Catalog;
  readonly #occupancy: Occupancy;
  readonly #misfits = new Map<string, string | null>();

  constructor(catalog: Catalog, occupancy: Occupancy) {
    this.#catalog = catalog;
    this.#occupancy = occupancy;
  }

  async tasks(caller: Caller): Promise<TaskSummary[]> {
    return (await this.#catalog.tasks.list()).filter((task) => seesSplit(caller, task.split));
  }

  frameworks(caller: Caller): Framework[] {
    return this.#catalog.frameworks.filter((framework) => seesSplit(caller, framework.split));
  }

  verifiers(caller: Caller): Verifier[] {
    return this.#catalog.verifiers.filter((verifier) => seesSplit(caller, verifier.split));
  }

  async task(caller: Caller, id: string): Promise<{ summary: TaskSummary; task: Task }> {
    const visible = await this.tasks(caller);
    const summary = visible.find((candidate) => candidate.id === id);
    const task = summary === undefined ? null : await this.load(summary.id);
    if (summary === undefined || task === null) {
      const hint = didYouMean(
        id,
        visible.map((candidate) => candidate.id),
        "GET /v1/tasks lists them",
      );
      throw new ProblemError("unknown_task", `there is no task ${id}`, hint);
    }
    return { summary, task };
  }

  async load(id: TaskId): Promise<Task | null> {
    try {
      return await this.#catalog.tasks.load(id);
    } catch (error) {
      if (!(error instanceof GymError)) throw error;
      throw new ProblemError(
        "invalid_cell",
        `task ${id}: ${error.message}`,
        `polygym validate ${id} shows what is wrong`,
        { cause: error },
      );
    }
  }

  framework(caller: Caller, id: string): Framework {
    const visible = this.frameworks(caller);
    const found = visible.find((framework) => framework.id === id);
    if (found !== undefined) return found;
    const hint = didYouMean(
      id,
      visible.map((framework) => framework.id),
      "GET /v1/frameworks lists them",
    );
    throw new ProblemError("unknown_framework", `there is no framework ${id}`, hint);
  }

  verifier(caller: Caller, id: string): Verifier {
    const visible = this.verifiers(caller);
    const found = visible.find((verifier) => verifier.id === id);
    if (found !== undefined) return found;
    const hint = didYouMean(
      id,
      visible.map((verifier) => verifier.id),
      "GET /v1/verifiers lists them",
    );
    throw new ProblemError("unknown_verifier", `there is no verifier ${id}`, hint);
  }

  /** Every verifier that can judge the task, also those that the caller does not see. */
  eligible(task: Task): VerifierEntry[] {
    return this.#catalog.verifiers
      .filter((verifier) => verifier.mismatch(task) === null)
      .map(({ id, version, split }) => ({ id, version, split }));
  }

  /** Why this framework cannot serve this task, or null. Looks at both alone, not at who works here. */
  misfit(task: Task, framework: Framework): string | null {
    const key = `${task.version} ${framework.id}@${framework.version}`;
    const known = this.#misfits.get(key);
    if (known !== undefined) return known;
    const misfit = this.scriptMisfit(task, framework, { name: "gold", variant: null });
    if (this.#misfits.size >= MAX_REMEMBERED) this.#misfits.clear();
    this.#misfits.set(key, misfit);
    return misfit;
  }

  /** Why a script cannot be said in this framework's language, or null. Variant null: any of its variants. */
  scriptMisfit(task: Task, framework: Framework, script: { name: ScriptName; variant: string | null }): string | null {
    const policy = this.#catalog.policies.find((candidate) => candidate.id === script.name);
    if (policy === undefined) return `there is no script ${script.name}`;
    const variants = script.variant === null ? policy.variants(task) : [script.variant];
    const view = taskView(task);
    for (const variant of variants) {
      const intents = policy.intents(task, variant);
      const lacking = [...new Set(intents.map(({ type }) => type))].filter((type) => !framework.intents.has(type));
      if (lacking.length > 0) return `${framework.id} cannot express ${lacking.join(", ")}, which ${script.name} needs`;
      try {
        framework.encode(intents, view);
      } catch (error) {
        if (error instanceof ProblemError) return error.message;
        throw error;
      }
    }
    return null;
  }

  /** Why no worker here can run this cell, or null. */
  async unavailable(
    task: Pick<Task, "runtimes" | "image">,
    framework: Pick<Framework, "needs"> | null = null,
  ): Promise<string | null> {
    // What a built image has is known to those who open it; only the machine's own says so before.
    if (task.image !== "host") return await imageMisfit({ occupancy: this.#occupancy }, task);
    const needed = [...new Set([...task.runtimes, ...(framework?.needs ?? [])])];
    const missing = await this.#occupancy.missingRuntimes(needed);
    return missing.length === 0 ? null : `no worker here has ${missing.join(", ")}`;
  }

  /** Resolves and pins what an episode runs in, or says as a problem why it cannot. */
  async resolve(caller: Caller, request: CellRequest): Promise<Cell> {
    const { task, summary } = await this.task(caller, request.task_id);
    const framework = this.framework(caller, request.framework);
    const eligible = this.eligible(task);
    this.checkVerifiers(caller, task, request.verifiers);
    const reason = this.misfit(task, framework) ?? (await this.unavailable(task, framework));
    if (reason !== null)
      throw new ProblemError(
        "invalid_cell",
        `${task.id} does not run in ${framework.id}: ${reason}`,
        "GET /v1/matrix shows what fits",
      );
    const config = framework.config.safeParse(request.framework_config ?? {});
    if (!config.success) {
      const detail = config.error.issues
        .map((issue) => `framework_config.${issue.path.join(".")}: ${issue.message}`)
        .join("; ");
      throw new ProblemError("invalid_request", detail, `GET /v1/frameworks/${framework.id} shows its config`);
    }
    const environment = resolveCell({
      task: summary,
      framework,
      config: config.data,
      eligible,
      requested: request.verifiers,
    });
    if (!actsOnSplit(caller, environment.split)) {
      const hint = "choose a train environment; held-out ones are open to evaluations";
      throw new ProblemError("forbidden", `${task.id} in ${framework.id} is held out`, hint);
    }
    return { task, framework, environment };
  }

  /** Said here and not by the resolution, which would name what the caller may not see. */
  checkVerifiers(caller: Caller, task: Task, requested: readonly string[] | undefined): void {
    const fitting = this.verifiers(caller).filter((verifier) => verifier.mismatch(task) === null);
    for (const id of requested ?? []) {
      const mismatch = this.verifier(caller, id).mismatch(task);
      if (mismatch === null) continue;
      const hint = `choose from: ${fitting.map((verifier) => verifier.id).join(", ")} (GET /v1/matrix shows what fits)`;
      throw new ProblemError("invalid_cell", `${id} cannot judge ${task.id}: ${mismatch}`, hint);
    }
  }
}

function didYouMean(name: string, known: readonly string[], otherwise: string): string {
  const near = nearest(name, known);
  if (near !== null) return `did you mean ${near}? ${otherwise}`;
  return known.length > 0 && known.length <= 12 ? `${otherwise}: ${known.join(", ")}` : otherwise;
}
