import type { EpisodeRecord } from "../../core/episode.ts";
import type { ApiRole } from "../../core/records.ts";
import type { EpisodeFilter } from "../../core/store.ts";
import type { Split, VerdictRole } from "../../core/task.ts";

/** Who asks: a token and its roles. Everything a role may see is decided in this file. */
export interface Caller {
  readonly tokenId: string;
  readonly roles: ReadonlySet<ApiRole>;
}

/** Runs whose label starts so are shared: every token may read their episodes. */
export const SHARED_RUN_PREFIX = "shared/";

const has = (caller: Caller, ...roles: ApiRole[]): boolean => roles.some((role) => caller.roles.has(role));

/** Sealed things exist for evaluators only; what is not known to be open counts as sealed. */
export const seesSplit = (caller: Caller, split: Split): boolean =>
  split === "train" || split === "dev" || has(caller, "evaluator");

export const seesEverybody = (caller: Caller): boolean => has(caller, "viewer", "operator");

export const isShared = (run: string | null | undefined): boolean => run?.startsWith(SHARED_RUN_PREFIX) ?? false;

export type Owned = Pick<EpisodeRecord, "owner" | "run" | "environment">;

export function seesEpisode(caller: Caller, record: Owned): boolean {
  if (!seesSplit(caller, record.environment.split)) return false;
  return seesEverybody(caller) || record.owner === caller.tokenId || isShared(record.run);
}

/** Steps and cancels: one's own, and an operator everybody's. */
export const actsOn = (caller: Caller, record: Owned): boolean =>
  seesEpisode(caller, record) && (record.owner === caller.tokenId || has(caller, "operator"));

/** What a script did may be the gold solution: its text is for authors and operators only. */
export const seesTrajectory = (caller: Caller, record: Pick<EpisodeRecord, "script">): boolean =>
  record.script === null || seesScripts(caller);

export function seesVerdict(caller: Caller, role: VerdictRole): boolean {
  if (role === "train") return true;
  return role === "shadow" ? has(caller, "viewer", "evaluator", "author", "operator") : has(caller, "evaluator");
}

/** Names of the scripted attempts at a task: they tell what its verifiers must catch. */
export const seesScripts = (caller: Caller): boolean => has(caller, "author", "operator");

/** Seeds and bases of verdicts: they help to foresee hidden inputs. */
export const seesVerdictSecrets = (caller: Caller): boolean => has(caller, "evaluator", "author", "operator");

/** Whose environments a new episode may use. Held-out ones are for evaluations, which trainers start by other routes. */
export const actsOnSplit = (caller: Caller, split: Split): boolean =>
  split === "train" || has(caller, "evaluator", "author", "operator");

/** Narrows a list to what the caller may see. */
export function filterFor(caller: Caller, filter: EpisodeFilter): EpisodeFilter {
  return {
    ...filter,
    ...(seesEverybody(caller) || isShared(filter.run) ? {} : { owner: caller.tokenId }),
    withoutSealed: !has(caller, "evaluator"),
  };
}
