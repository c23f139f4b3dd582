import { setTimeout } from "node:timers/promises";
import type { EpisodeAnswer, VerifyAnswer } from "../core/api.ts";
import type { EpisodeRecord } from "../core/episode.ts";
import { ProblemError } from "../core/errors.ts";
import type { EpisodeEvent } from "../core/events.ts";
import { canonicalJson, deriveSeed, type EpisodeId, newEpisodeId, sha256 } from "../core/ids.ts";
import { steadyNow } from "../platform/clock.ts";
import { lookAt } from "./answers.ts";
import type { Caller } from "./auth/caller.ts";
import { commitCancel, ownEpisode } from "./episodes.ts";
import type { Parts } from "./parts.ts";
import { askVerdict } from "./verify.ts";
import { isOver, nextLook, type Wait } from "./wait.ts";

/** Children of one call. */
export const MAX_CHILDREN = 64;
/** How often the owner is asked again to park: mail may be lost. */
const ASK_AGAIN_MS = 2_000;
/** How often a log that has just moved on is read again. */
const LOOK_EVERY_MS = 50;

/** Parks the episode at its step boundary: its workspace is then durable, and its next step revives it. */
export async function snapshotEpisode(parts: Parts, caller: Caller, id: EpisodeId, wait: Wait): Promise<EpisodeAnswer> {
  return lookAt(parts, caller, await parkedEpisode(parts, caller, id, wait), { full: false });
}

/**
 * Children that go on from the episode's step boundary: the same workspace, shell and conversation, their own ids and
 * seeds. Parent and children share the stored workspace; each is revived by its own next step.
 */
export async function forkEpisode(
  parts: Parts,
  caller: Caller,
  id: EpisodeId,
  n: number,
  wait: Wait,
): Promise<EpisodeAnswer[]> {
  const { parent, history } = await sharedState(parts, caller, id, wait);
  const secret = await parts.store.secret();
  const children: EpisodeAnswer[] = [];
  for (let index = 0; index < n; index++) {
    const childId = newEpisodeId();
    const child = childOf(parent, childId, deriveSeed(secret, ["fork", parent.episode_id, childId]), caller);
    await parts.store.append(history.map((event) => eventOfChild(event, child)));
    const digest = sha256(canonicalJson({ forked_from: parent.episode_id, childId }));
    try {
      await parts.store.createEpisode(child, digest, parts.config.episodesPerToken);
    } catch (error) {
      // All or none: nobody would know the ids of some.
      for (const made of children) await commitCancel(parts, made.episode_id);
      throw error;
    }
    children.push(await lookAt(parts, caller, child, { full: true }));
  }
  parts.log.info({ episodeId: id, children: n }, "episode forked");
  return children;
}

/**
 * Runs other or newer verifiers on what an ended episode submitted. The answer is a record of its own: the episode's reward
 * and verdicts stay as they are.
 */
export async function rescoreEpisode(
  parts: Parts,
  caller: Caller,
  id: EpisodeId,
  verifiers: readonly string[] | undefined,
  wait: Wait,
): Promise<VerifyAnswer> {
  const record = await ownEpisode(parts, caller, id);
  if (record.submission === null)
    throw new ProblemError(
      "invalid_request",
      `${id} has no submission (it is ${record.state})`,
      "rescore it when it has ended",
    );
  const { task } = await parts.cells.task(caller, record.environment.task_id);
  parts.cells.checkVerifiers(caller, task, verifiers);
  const wanted =
    verifiers ?? record.environment.verifiers.filter((entry) => entry.role === "train").map((entry) => entry.id);
  const request = {
    task_id: task.id,
    task_version: record.environment.task_version,
    framework: null,
    verifiers: wanted.map((verifier) => ({ id: verifier, role: "train" as const })),
    submission: { stored: record.submission },
  };
  return askVerdict(parts, request, wait);
}

async function parkedEpisode(parts: Parts, caller: Caller, id: EpisodeId, wait: Wait): Promise<EpisodeRecord> {
  using watch = parts.hub.watch(id);
  let askedAt = Number.NEGATIVE_INFINITY;
  for (;;) {
    const record = await ownEpisode(parts, caller, id);
    if (record.state === "parked") return record;
    checkBranchable(record);
    if (isOver(wait))
      throw new ProblemError(
        "unavailable",
        `${id} is ${record.state}: it did not reach a step boundary in time`,
        "send the same call again",
        { retryAfterS: 1 },
      );
    if (record.state === "ready" && record.worker !== null && steadyNow() - askedAt > ASK_AGAIN_MS) {
      askedAt = steadyNow();
      const address = { episode_id: id, term: record.term, server: parts.serverId, correlation: "park" };
      await parts.mailbox.toWorker(record.worker, { type: "park", ...address });
    }
    await nextLook(watch, wait);
  }
}

function checkBranchable(record: EpisodeRecord): void {
  if (record.script !== null)
    throw new ProblemError(
      "invalid_request",
      `${record.episode_id} is driven by a script`,
      "make an episode and step it yourself",
    );
  if (record.state === "verifying" || record.state === "done")
    throw new ProblemError("finished", `${record.episode_id} has ended`, "fork an episode before its last step");
}

/** A parked episode and its log, whose last saved workspace stays for the children. */
async function sharedState(
  parts: Parts,
  caller: Caller,
  id: EpisodeId,
  wait: Wait,
): Promise<{ parent: EpisodeRecord; history: EpisodeEvent[] }> {
  for (;;) {
    const parent = await parkedEpisode(parts, caller, id, wait);
    const history = await wholeHistory(parts, parent);
    const last = history.findLast((event) => event.type === "episode.saved" || event.type === "episode.parked");
    if (last?.type === "episode.parked" && (await parts.store.shareSnapshot(last.snapshot))) return { parent, history };
    // Somebody stepped it between the two looks.
    if (isOver(wait))
      throw new ProblemError("unavailable", `${id} is being stepped`, "send the same call again", { retryAfterS: 1 });
    await setTimeout(LOOK_EVERY_MS);
  }
}

async function wholeHistory(parts: Parts, parent: EpisodeRecord): Promise<EpisodeEvent[]> {
  const events: EpisodeEvent[] = [];
  for (let after: number | null = -1; after !== null; ) {
    const page = await parts.store.events(parent.episode_id, { after });
    events.push(...page.events);
    after = page.next;
  }
  return events.filter((event) => event.type !== "term.granted").map((event, n) => ({ ...event, n, term: 0 }));
}

function childOf(parent: EpisodeRecord, childId: EpisodeId, seed: number, caller: Caller): EpisodeRecord {
  const now = steadyNow();
  return {
    ...parent,
    episode_id: childId,
    owner: caller.tokenId,
    labels: { ...parent.labels, forked_from: parent.episode_id },
    group: null,
    seed,
    term: 0,
    worker: null,
    lost_terms: 0,
    created_at: now,
    updated_at: now,
  };
}

const eventOfChild = (event: EpisodeEvent, child: EpisodeRecord): EpisodeEvent =>
  event.type === "episode.created"
    ? { ...event, episode_id: child.episode_id, seed: child.seed }
    : { ...event, episode_id: child.episode_id };
