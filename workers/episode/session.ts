import { frameworkProfile } from "../../core/catalog.ts";
import type { EpisodeRecord } from "../../core/episode.ts";
import { GymError } from "../../core/errors.ts";
import type { Framework, FrameworkSession, TaskView } from "../../core/framework.ts";
import type { Json } from "../../core/json.ts";
import type { ObservationInfo } from "../../core/messages.ts";
import type { Sandbox } from "../../core/sandbox.ts";
import type { Task } from "../../core/task.ts";
import type { BaseLease } from "../bases.ts";
import type { WorkerDeps } from "../deps.ts";
import type { Journal } from "./journal.ts";
import type { Meter } from "./meter.ts";
import type { LastSaved } from "./workspace.ts";
import type { WorkspaceView } from "./workspace-view.ts";

/** What one owner holds of a live episode. */
export interface ActorParts {
  readonly deps: WorkerDeps;
  readonly record: EpisodeRecord;
  readonly task: Task;
  readonly framework: Framework;
  readonly journal: Journal;
  readonly lease: BaseLease;
  readonly sandbox: Sandbox;
  readonly session: FrameworkSession;
  readonly meter: Meter;
  readonly view: WorkspaceView;
  readonly saved: LastSaved;
  /** What this episode has behind it, boot included; `info` is told with its next observation. */
  readonly start: {
    readonly nextSeq: number;
    readonly steps: number;
    readonly wallUsedMs: number;
    readonly info: ObservationInfo | null;
  };
}

export const openFramework = (
  framework: Framework,
  record: EpisodeRecord,
  task: TaskView,
  sandbox: Sandbox,
  resume: Json | null,
) =>
  framework.open({
    task,
    sandbox,
    limits: { toolMs: record.limits.tool_s * 1000, observationChars: record.limits.observation_chars },
    config: record.environment.framework_config,
    seed: record.seed,
    resume,
  });

/**
 * The framework that the episode was made with. One that has changed since, in its version or in what its configuration
 * means, is refused and never silently used (runtime.md §9).
 */
export function pinnedFramework(
  { frameworks }: Pick<WorkerDeps, "frameworks">,
  { environment }: EpisodeRecord,
): Framework {
  const { framework: id, framework_version: version } = environment;
  const found = frameworks.find((framework) => framework.id === id);
  if (found === undefined) throw new GymError("version_changed", `framework ${id}@${version} is not here any more`);
  if (found.version !== version)
    throw new GymError("version_changed", `framework ${id}@${version} is not here, this worker has @${found.version}`);
  const config = found.config.safeParse(environment.framework_config);
  if (config.success && frameworkProfile(found, config.data) === environment.framework_profile) return found;
  throw new GymError(
    "version_changed",
    `framework ${id}@${version} reads its configuration differently here: its profile is not ${environment.framework_profile}`,
  );
}

/** A framework that cannot close its shell any more does not keep the episode from going on. */
export async function closeSession({ deps, record, session }: ActorParts): Promise<void> {
  try {
    await session[Symbol.asyncDispose]();
  } catch (error) {
    deps.log.warn({ err: error, episodeId: record.episode_id }, "framework did not close");
  }
}
