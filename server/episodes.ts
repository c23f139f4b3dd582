import type { CreateEpisode, CreateRollout, EpisodeAnswer } from "../core/api.ts";
import type { EpisodeRecord } from "../core/episode.ts";
import { ProblemError } from "../core/errors.ts";
import { canonicalJson, deriveSeed, type EpisodeId, newEpisodeId, sha256 } from "../core/ids.ts";
import { createdEvent, newEpisodeRecord } from "../core/new-episode.ts";
import { steadyNow } from "../platform/clock.ts";
import { lookAt } from "./answers.ts";
import { actsOn, type Caller, seesEpisode } from "./auth/caller.ts";
import type { Cell } from "./cells.ts";
import { foldEpisode } from "./fold.ts";
import type { Parts } from "./parts.ts";
import { isOver, nextLook, type Wait, waitForEpisode } from "./wait.ts";

/** Silence after which a cancel is committed without the worker. */
const CANCEL_PATIENCE_MS = 3_000;

/** Who drives it: steps from outside, or a script inside. */
export type CreateRequest =
  | { readonly type: "episode"; readonly body: CreateEpisode }
  | { readonly type: "rollout"; readonly body: CreateRollout };

/** Makes the episode, or joins the one made before by the same body, and waits until it takes a step. */
export async function createEpisode(
  parts: Parts,
  caller: Caller,
  request: CreateRequest,
  wait: Wait,
): Promise<EpisodeAnswer> {
  const made = await makeEpisode(parts, caller, request);
  const settled =
    request.type === "rollout"
      ? (record: EpisodeRecord) => record.state === "done"
      : (record: EpisodeRecord) => record.state !== "queued" && record.state !== "booting";
  const record = await waitForEpisode(parts, made.episode_id, settled, wait);
  return lookAt(parts, caller, record, { full: false });
}

/** As {@link createEpisode}, without waiting. */
export async function makeEpisode(parts: Parts, caller: Caller, request: CreateRequest): Promise<EpisodeRecord> {
  const { body } = request;
  const digest = sha256(canonicalJson({ type: request.type, body }));
  const known = body.episode_id === undefined ? null : await parts.store.episode(body.episode_id);
  const wanted = known ?? (await newRecord(parts, caller, request));
  const { created, record, sameBody } = await parts.store.createEpisode(wanted, digest, parts.config.episodesPerToken);
  if (!created) {
    if (record.owner === caller.tokenId && sameBody) return rejoin(parts, record);
    throw new ProblemError("conflict", `${record.episode_id} was made with another body`, "choose another episode_id");
  }
  const { environment } = record;
  await parts.store.append([createdEvent(record)]);
  await parts.queues.addEpisode({ episode_id: record.episode_id, term: 1 });
  parts.log.info(
    { episodeId: record.episode_id, taskId: environment.task_id, framework: environment.framework },
    "episode created",
  );
  return record;
}

/** Whoever made it may have died before it was queued; a job that is there already is left alone. */
async function rejoin(parts: Parts, record: EpisodeRecord): Promise<EpisodeRecord> {
  if (record.state === "queued")
    await parts.queues.addEpisode({ episode_id: record.episode_id, term: record.term + 1 });
  return record;
}

async function newRecord(parts: Parts, caller: Caller, request: CreateRequest): Promise<EpisodeRecord> {
  const { body } = request;
  const cell = await parts.cells.resolve(caller, body);
  const episodeId = body.episode_id ?? newEpisodeId();
  return newEpisodeRecord({
    episodeId,
    owner: caller.tokenId,
    environment: cell.environment,
    run: body.run,
    labels: body.labels,
    group: body.group,
    policy: request.type === "episode" ? request.body.policy : { name: `script/${request.body.policy.script}` },
    limits: body.limits,
    taskWallS: cell.task.wallS,
    seed: body.seed ?? (await groupSeed(parts, cell, body)),
    script: request.type === "rollout" ? scriptOf(parts, cell, request.body.policy) : null,
    idleTimeoutS: body.idle_timeout_s,
    waitCapacityS: body.wait_capacity_s,
    onReplayMismatch: body.on_replay_mismatch,
    secret: await parts.store.secret(),
    now: steadyNow(),
  });
}

/** Members of a group share a seed: they are attempts at the same environment. Undefined: one of the episode's own. */
async function groupSeed(
  parts: Parts,
  { environment }: Cell,
  { group, run }: CreateEpisode | CreateRollout,
): Promise<number | undefined> {
  if (group === undefined) return undefined;
  const key = ["group", run ?? null, environment.task_id, environment.framework_profile, group.id];
  return deriveSeed(await parts.store.secret(), key);
}

function scriptOf(
  parts: Parts,
  { task, framework }: Cell,
  wanted: CreateRollout["policy"],
): NonNullable<EpisodeRecord["script"]> {
  const policy = parts.catalog.policies.find((candidate) => candidate.id === wanted.script);
  const variants = policy?.variants(task) ?? [];
  const variant = wanted.variant ?? variants[0];
  if (variant === undefined || !variants.includes(variant)) {
    const detail =
      variant === undefined ? `${task.id} has no ${wanted.script}` : `${task.id} has no ${wanted.script} ${variant}`;
    throw new ProblemError(
      "invalid_cell",
      detail,
      variants.length === 0 ? "choose another script" : `choose from: ${variants.join(", ")}`,
    );
  }
  const misfit = parts.cells.scriptMisfit(task, framework, { name: wanted.script, variant });
  if (misfit !== null) throw new ProblemError("invalid_cell", misfit, "choose another framework for this script");
  return { name: wanted.script, variant };
}

const noEpisode = (id: EpisodeId): ProblemError =>
  new ProblemError("not_found", `there is no episode ${id}`, "GET /v1/episodes lists those you may see");

/** The record, for somebody who may look at it. */
export async function visibleEpisode(parts: Parts, caller: Caller, id: EpisodeId): Promise<EpisodeRecord> {
  const record = await parts.store.episode(id);
  if (record === null || !seesEpisode(caller, record)) throw noEpisode(id);
  return record;
}

/** The record, for somebody who may step or cancel it. */
export async function ownEpisode(parts: Parts, caller: Caller, id: EpisodeId): Promise<EpisodeRecord> {
  const record = await visibleEpisode(parts, caller, id);
  if (actsOn(caller, record)) return record;
  throw new ProblemError(
    "forbidden",
    `${id} belongs to another token`,
    "you may read it; only its owner or an operator acts on it",
  );
}

/** Waits only while something is under way that needs no step. */
export async function getEpisode(
  parts: Parts,
  caller: Caller,
  id: EpisodeId,
  options: { readonly wait: Wait; readonly full: boolean },
): Promise<EpisodeAnswer> {
  const first = await visibleEpisode(parts, caller, id);
  using watch = parts.hub.watch(id);
  for (let record = first; ; record = await visibleEpisode(parts, caller, id)) {
    const over = isOver(options.wait);
    if (over || record.state === "done" || record.state === "parked") return lookAt(parts, caller, record, options);
    if (record.state === "ready") {
      const answer = await lookAt(parts, caller, record, options);
      if (answer.state !== "running") return answer;
    }
    await nextLook(watch, options.wait);
  }
}

/** Ends it with outcome `cancelled`. Cancelling an ended one answers how it ended. */
export async function cancelEpisode(parts: Parts, caller: Caller, id: EpisodeId, wait: Wait): Promise<EpisodeAnswer> {
  const record = await ownEpisode(parts, caller, id);
  if (record.state !== "done") {
    if (record.worker !== null && record.state !== "verifying") await askWorker(parts, record, wait);
    await commitCancel(parts, id);
  }
  return lookAt(parts, caller, await visibleEpisode(parts, caller, id), { full: false });
}

/** Lets the owner stop its sandbox first; it commits the end itself. */
async function askWorker(parts: Parts, record: EpisodeRecord, wait: Wait): Promise<void> {
  if (record.worker === null) return;
  await parts.mailbox.toWorker(record.worker, {
    type: "cancel",
    episode_id: record.episode_id,
    term: record.term,
    server: parts.serverId,
    correlation: "cancel",
  });
  const deadline = Math.min(wait.deadline, steadyNow() + CANCEL_PATIENCE_MS);
  await waitForEpisode(parts, record.episode_id, ({ state }) => state === "done", { deadline, signal: wait.signal });
}

/** Commits the end by compare-and-set when nobody did; an owner that still lives loses its next write. */
export async function commitCancel(parts: Parts, id: EpisodeId): Promise<void> {
  for (;;) {
    const record = await parts.store.episode(id);
    if (record === null || record.state === "done") return;
    const ended = await parts.store.update(
      id,
      { term: record.term },
      {
        state: "done",
        pending_reason: null,
        worker: null,
        stop_reason: "cancelled",
        outcome: "cancelled",
        reward: null,
        reward_status: "unavailable",
        trainable: false,
        ended_at: Date.now(),
      },
    );
    if (ended === null) continue;
    const { cursor } = await foldEpisode(parts.store, id);
    const head = { v: 1, episode_id: id, term: ended.term, at: Date.now() } as const;
    await parts.store.append([
      {
        ...head,
        n: cursor + 1,
        type: "reward.committed",
        reward: null,
        reward_status: "unavailable",
        trainable: false,
      },
      { ...head, n: cursor + 2, type: "episode.ended", stop_reason: "cancelled", outcome: "cancelled", failure: null },
    ]);
    await parts.mailbox.broadcast({
      type: "notice",
      episode_id: id,
      event: "done",
      state: "done",
      worker: null,
      term: ended.term,
      cursor: cursor + 2,
      data: null,
    });
    return;
  }
}

/** What a role may not see does not exist for it. */
export const noTrajectory = (id: EpisodeId): ProblemError =>
  new ProblemError(
    "not_found",
    `there is no trajectory of ${id}`,
    "trajectories of scripts are for authors and operators",
  );
