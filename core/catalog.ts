import type { EpisodeEnvironment } from "./episode.ts";
import { strictestSplit } from "./episode.ts";
import { ProblemError } from "./errors.ts";
import type { Framework } from "./framework.ts";
import { canonicalJson, type Digest, sha256 } from "./ids.ts";
import type { JsonObject } from "./json.ts";
import type { Split, TaskSummary, VerdictRole } from "./task.ts";

/** A verifier as the resolution of a cell sees it. */
export interface VerifierEntry {
  readonly id: string;
  readonly version: string;
  readonly split: Split;
}

export interface CellRequest {
  readonly task: TaskSummary;
  readonly framework: Framework;
  readonly config: JsonObject;
  /** Those that can judge the task. */
  readonly eligible: readonly VerifierEntry[];
  /** Ids asked for as train; undefined: the task's own list. */
  readonly requested: readonly string[] | undefined;
}

/** Hash of what makes the framework behave as it does (DESIGN §6). */
export function frameworkProfile(framework: Framework, config: JsonObject): Digest {
  return sha256(canonicalJson({ id: framework.id, version: framework.version, config }));
}

/**
 * Resolves one cell: every eligible verifier judges, and its role is sealed if any side is sealed, else train if it was
 * requested, else shadow (runtime.md §3).
 */
export function resolveCell({ task, framework, config, eligible, requested }: CellRequest): EpisodeEnvironment {
  const listed = requested ?? task.verifiers.filter((v) => v.role === "train").map((v) => v.id);
  const unfit = listed.filter((id) => !eligible.some((v) => v.id === id));
  if (unfit.length > 0)
    throw new ProblemError(
      "invalid_cell",
      `${unfit.join(", ")} cannot judge ${task.id}`,
      `choose from: ${eligible.map((v) => v.id).join(", ")} (GET /v1/matrix shows what fits)`,
    );
  const base = strictestSplit([task.split, framework.split]);
  const roleOf = (v: VerifierEntry): VerdictRole => {
    if (strictestSplit([base, v.split]) === "sealed") return "sealed";
    return listed.includes(v.id) ? "train" : "shadow";
  };
  return {
    task_id: task.id,
    task_version: task.version,
    framework: framework.id,
    framework_version: framework.version,
    framework_profile: frameworkProfile(framework, config),
    framework_config: config,
    verifiers: eligible.map((v) => ({ id: v.id, version: v.version, role: roleOf(v) })),
    split: strictestSplit([base, ...eligible.filter((v) => listed.includes(v.id)).map((v) => v.split)]),
  };
}
