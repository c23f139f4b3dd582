import type { WhyAnswer } from "../core/api.ts";
import type { EpisodeRecord, EpisodeState, PendingReason } from "../core/episode.ts";
import type { QueueName } from "../core/jobs.ts";
import type { Presence } from "../core/mail.ts";
import { steadyNow } from "../platform/clock.ts";
import { episodeJobId } from "../platform/queues.ts";
import { type Caller, seesEverybody } from "./auth/caller.ts";
import { foldEpisode } from "./fold.ts";
import { imageProgress } from "./images.ts";
import type { Parts } from "./parts.ts";

/** What has not moved for so long while it could is stuck, not slow. */
const STUCK_MS = 15_000;
/** States in which a worker has the episode. */
const OWNED: ReadonlySet<EpisodeState> = new Set<EpisodeState>(["booting", "ready", "running"]);

type Said = Pick<WhyAnswer, "what" | "hint">;

/** Why an episode is where it is: from its record, its events and what the workers say of themselves. */
export async function whyEpisode(parts: Parts, caller: Caller, record: EpisodeRecord): Promise<WhyAnswer> {
  // Asked anew: one that came within the last second is not silent.
  const workers = await parts.workers();
  const owner = workers.find((worker) => worker.id === record.worker);
  const head = { state: record.state, since: record.updated_at, worker: record.worker };
  if (OWNED.has(record.state) && owner === undefined)
    return {
      ...head,
      pending_reason: "recovering",
      what: `its worker ${record.worker ?? ""} is silent; it goes on elsewhere from its last durable step`,
      hint: workers.length === 0 ? START_WORKERS : "wait: another worker takes over within about 10 s",
    };
  switch (record.state) {
    case "queued":
      return { ...head, ...(await whyQueued(parts, record)) };
    case "booting":
      return { ...head, pending_reason: record.pending_reason, ...whyBooting(record, owner) };
    case "ready":
    case "running":
      return { ...head, pending_reason: null, ...(await whyLive(parts, record)) };
    case "parked":
      if (await waitsForPlace(parts, record)) return { ...head, ...(await whyQueued(parts, record)) };
      return { ...head, pending_reason: null, ...whyParked(record) };
    case "verifying":
      return { ...head, ...(await whyVerifying(parts, record, workers)) };
    case "done":
      return { ...head, since: record.ended_at, pending_reason: null, ...whyDone(caller, record) };
  }
}

const START_WORKERS = "start workers: polygym up, or polygym worker --redis URL --store URL";

/** What each reason means for something that waits for a place, and what to do about it. */
const REASONS: Readonly<Record<PendingReason, Said>> = {
  no_worker: { what: "no worker process is alive", hint: START_WORKERS },
  no_capacity: {
    what: "every worker is full; idle episodes are parked to make room",
    hint: "wait, end what is not needed, or start workers on this or another host",
  },
  image_building: { what: "the image it needs is being made", hint: "wait; the worker's log shows the progress" },
  quota: {
    what: "its token has as many live episodes as it may (live_per_token)",
    hint: "wait, or end some of the token's others: each that is parked or ends lets the next one in",
  },
  paused: { what: "an operator paused the queue", hint: "polygym queue resume NAME, or at /ops/queues" },
  draining: {
    what: "every worker is draining and takes nothing new",
    hint: "wait for the new workers, start some, or polygym worker resume",
  },
  recovering: {
    what: "its last worker was lost; the next one restores it from its last durable step",
    hint: "wait; the trajectory has an event episode.recovered when it is back",
  },
};

async function whyQueued(parts: Parts, record: EpisodeRecord): Promise<Said & Pick<WhyAnswer, "pending_reason">> {
  const reason = await parts.occupancy.pendingReason({ ...record, state: "queued" });
  const turn = await turnOf(parts, record);
  const ends = new Date(record.created_at + record.wait_capacity_s * 1_000).toISOString();
  const limit = record.term === 0 ? `; it gives up at ${ends} (wait_capacity_s)` : "";
  if (reason !== null) {
    const { what, hint } = reason === "image_building" ? await whyImage(parts, record) : REASONS[reason];
    const place = reason === "quota" ? await placeInShare(parts, record) : turn;
    return { pending_reason: reason, what: `${what}; ${place}${limit}`, hint };
  }
  const stuck = steadyNow() - record.updated_at > STUCK_MS;
  return {
    pending_reason: null,
    what: `it waits for a worker, of which some have room; ${turn}${limit}`,
    hint: stuck
      ? "a job that was lost is put back within seconds; if this lasts, look at polygym why episode and the workers' logs"
      : "wait: it is next",
  };
}

async function whyImage(parts: Parts, record: EpisodeRecord): Promise<Said> {
  const { task_id: id, task_version: version } = record.environment;
  const task = await parts.catalog.tasks.loadVersion(id, version).catch(() => null); // its own end says what is wrong
  if (task === null) return REASONS.image_building;
  const hint = `wait, it is admitted when the build is done; polygym image logs ${task.image} shows the progress`;
  return { what: await imageProgress(parts, task.image), hint };
}

/** Its next owner's job is in the queue: it waits for a place, whatever its state. */
async function turnOf(parts: Parts, { episode_id, term }: EpisodeRecord): Promise<string> {
  const job = episodeJobId({ episode_id, term: term + 1 });
  const [position, { episode }] = await Promise.all([parts.queues.position("episode", job), parts.queues.counts()]);
  return position === null
    ? `${episode.waiting} wait in the queue`
    : `it is number ${position} of ${episode.waiting} in the queue`;
}

/** Its job gives its turn to others until there is room in its token's share. */
async function placeInShare(parts: Parts, { episode_id, owner }: EpisodeRecord): Promise<string> {
  const line = await parts.store.overQuota(owner);
  const place = line.findIndex((record) => record.episode_id === episode_id) + 1;
  return place === 0 ? "it is looked at again now" : `it is number ${place} of ${line.length} of its token that wait`;
}

/** A step came for it, and it has no place yet. */
async function waitsForPlace(parts: Parts, { episode_id, term }: EpisodeRecord): Promise<boolean> {
  return parts.queues.hasJob("episode", episodeJobId({ episode_id, term: term + 1 }));
}

function whyBooting(record: EpisodeRecord, owner: Presence | undefined): Said {
  const slow = steadyNow() - record.updated_at > STUCK_MS;
  return {
    what: `worker ${record.worker} on ${owner?.host} prepares the base of ${record.environment.task_id} and opens ${record.environment.framework}`,
    hint: slow ? "the task's set-up is slow or the host is busy: see that worker's log" : "wait",
  };
}

async function whyLive(parts: Parts, record: EpisodeRecord): Promise<Said & Pick<WhyAnswer, "state" | "since">> {
  const fold = await foldEpisode(parts.store, record.episode_id);
  const since = fold.lastAt ?? record.updated_at;
  if (fold.isRunning)
    return {
      state: "running",
      since,
      what: `a step runs on ${record.worker}`,
      hint: `it ends by itself, a command after ${record.limits.tool_s} s (limits.tool_s), later on a busy machine`,
    };
  const waiting = fold.open().map(({ conversation, next_seq }) => `${conversation} step ${next_seq}`);
  return {
    state: "ready",
    since,
    what: `it waits for its policy: ${waiting.join(", ") || "nothing is open"}`,
    hint: `POST the next step; without one it ends at ${idleEnd(record, since)} (idle_timeout_s)`,
  };
}

const idleEnd = (record: EpisodeRecord, since: number): string =>
  new Date(since + record.idle_timeout_s * 1_000).toISOString();

const whyParked = (record: EpisodeRecord): Said => ({
  what: "nobody acted for a while: its workspace is kept and its place given to others",
  hint: `POST the next step and it is back; without one it ends at ${idleEnd(record, record.updated_at)} (idle_timeout_s)`,
});

async function whyVerifying(
  parts: Parts,
  record: EpisodeRecord,
  workers: readonly Presence[],
): Promise<Said & Pick<WhyAnswer, "pending_reason">> {
  if (workers.length === 0) return { pending_reason: "no_worker", ...REASONS.no_worker };
  if ((await parts.store.halted("queue")).includes("verify")) return { pending_reason: "paused", ...REASONS.paused };
  const { waiting, active } = (await parts.queues.counts()).verify;
  if (record.pending_reason === "image_building")
    return { pending_reason: "image_building", ...(await whyImage(parts, record)) };
  return {
    pending_reason: null,
    what: `its submission is frozen and is being judged: ${active} verifications run and ${waiting} wait`,
    hint: waiting > 0 ? "wait, or give workers more verifiers (POLYGYM_VERIFIERS_PER_WORKER)" : "wait",
  };
}

function whyDone(caller: Caller, record: EpisodeRecord): Said {
  const { outcome, stop_reason: stop, failure } = record;
  const ours = outcome === "infra_error" || outcome === "verifier_error";
  // Messages of failures name processes and paths of ours.
  const cause =
    failure !== null && seesEverybody(caller) ? `: ${failure.code} at ${failure.stage}, ${failure.message}` : "";
  return {
    what: `it ended ${outcome} (${stop})${cause}`,
    hint: ours
      ? "this was our failure and carries no reward: make it again under a new episode_id"
      : `GET /v1/episodes/${record.episode_id}/trajectory tells how`,
  };
}

/** Why a queue does or does not move. */
export async function whyQueue(parts: Parts, queue: QueueName): Promise<WhyAnswer> {
  const [counts, halted, since, workers] = await Promise.all([
    parts.queues.counts(),
    parts.store.halted("queue"),
    parts.queues.oldestWaiting(queue),
    parts.occupancy.workers(),
  ]);
  const { waiting, active, delayed, failed } = counts[queue];
  const numbers = `${waiting + delayed} wait, ${active} run, ${failed} failed`;
  const answer = { since, worker: null };
  const because = (state: string, reason: PendingReason): WhyAnswer => ({
    ...answer,
    state,
    pending_reason: reason,
    what: `${numbers}: ${REASONS[reason].what}`,
    hint: REASONS[reason].hint,
  });
  if (halted.includes(queue)) return because("paused", "paused");
  if (waiting === 0) {
    const state = active > 0 ? "moving" : "idle";
    return { ...answer, state, pending_reason: null, what: `${numbers}: nothing waits`, hint: "nothing to do" };
  }
  if (workers.length === 0) return because("waiting", "no_worker");
  const running = workers.filter((worker) => worker.state === "running");
  if (running.length === 0) return because("waiting", "draining");
  if (queue === "episode" && running.every((worker) => worker.live >= worker.capacity))
    return because("waiting", "no_capacity");
  const idle = active === 0 && since !== null && steadyNow() - since > STUCK_MS;
  return {
    ...answer,
    state: idle ? "waiting" : "moving",
    pending_reason: null,
    what: `${numbers}: ${running.length} workers take from it${idle ? ", but none has" : ""}`,
    hint: idle ? "look at the workers' logs; a watchdog restarts one that stopped taking" : "wait",
  };
}
