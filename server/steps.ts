import { setTimeout } from "node:timers/promises";
import type { EpisodeAnswer, StepBody } from "../core/api.ts";
import type { EpisodeRecord } from "../core/episode.ts";
import { ProblemError } from "../core/errors.ts";
import { canonicalJson, type EpisodeId, sha256 } from "../core/ids.ts";
import type { StepObserved, StepRefusal } from "../core/mail.ts";
import { steadyNow } from "../platform/clock.ts";
import { answerFromFold, episodeAnswer, lookAt, type StepPart, verdictsFor } from "./answers.ts";
import type { Caller } from "./auth/caller.ts";
import { ownEpisode, visibleEpisode } from "./episodes.ts";
import { foldEpisode } from "./fold.ts";
import type { Expected, Reply, Watch } from "./hub.ts";
import type { Parts } from "./parts.ts";
import { isOver, nextLook, POLL_MS, type Wait, waitForEpisode } from "./wait.ts";

/**
 * Silence after which a step is looked up in the store and sent again: mail may be lost, and sending twice is harmless. It
 * doubles each time.
 */
const SILENCE_MS = 2_000;
const MAX_SILENCE_MS = 16_000;
const STEP_EVENTS = ["framework.opened", "step.accepted", "step.observed"] as const;

/** Longest that a call which does not wait stays for its step to be in the log, and how often it looks. */
const ACCEPTANCE_MS = 1_000;
const LOOK_FOR_ACCEPTANCE_MS = 10;

/** What became of a step, for HTTP and WebSocket alike. */
type Taken =
  /** Answered now; `state` is the episode's after it. */
  | { readonly status: "observed"; readonly observed: StepObserved }
  /** Answered before, or by somebody who died meanwhile. */
  | { readonly status: "stored"; readonly step: StepPart }
  /** The episode ended without an answer to it. */
  | { readonly status: "ended" }
  | { readonly status: "waiting"; readonly sent: boolean };

/**
 * Sends one step to the episode's owner and waits for the answer; a step that ends the episode waits for its verdict too.
 * The same step sent again joins the wait or gets the stored answer. What happens to the episode is an answer, never an
 * exception.
 */
export async function takeStep(
  parts: Parts,
  caller: Caller,
  id: EpisodeId,
  body: StepBody,
  wait: Wait,
): Promise<EpisodeAnswer> {
  const record = await ownEpisode(parts, caller, id);
  checkAction(parts, record, body);
  using watch = parts.hub.watch(id);
  const taken = await new StepWait(parts, record, body, watch).run(wait);
  switch (taken.status) {
    case "observed":
      return answerObserved(parts, caller, record, taken.observed, wait);
    case "stored":
      return answerStored(parts, caller, id, taken.step, wait);
    case "ended":
      return lookAt(parts, caller, await visibleEpisode(parts, caller, id), { full: false });
    case "waiting":
      if (taken.sent) await untilAccepted(parts, id, body);
      return answerWaiting(parts, caller, await visibleEpisode(parts, caller, id), taken.sent);
  }
}

function checkAction(parts: Parts, record: EpisodeRecord, { action }: StepBody): void {
  if (record.script !== null)
    throw new ProblemError(
      "invalid_request",
      `${record.episode_id} is driven by a script`,
      "GET it to watch; make an episode to act",
    );
  if ("finish" in action) return;
  const framework = parts.catalog.frameworks.find((candidate) => candidate.id === record.environment.framework);
  if (framework === undefined || framework.accepts in action) return;
  throw new ProblemError(
    "invalid_request",
    `${framework.id} takes actions of the form {"${framework.accepts}": …}`,
    `send {"${framework.accepts}": …}; the step's number is not used up`,
  );
}

/** One step on its way: routed to whoever owns the episode, again when the owner changes. */
class StepWait {
  readonly #parts: Parts;
  readonly #first: EpisodeRecord;
  readonly #body: StepBody;
  readonly #watch: Watch;
  #sent: { reply: Expected<Reply>; worker: string; term: number; at: number } | null = null;
  /** Its owner said that the episode is ending. */
  #refusedForGood = false;
  #patienceMs = SILENCE_MS;

  constructor(parts: Parts, first: EpisodeRecord, body: StepBody, watch: Watch) {
    this.#parts = parts;
    this.#first = first;
    this.#body = body;
    this.#watch = watch;
  }

  async run(wait: Wait): Promise<Taken> {
    try {
      let record = this.#first;
      for (;;) {
        const taken = await this.#advance(record);
        if (taken !== null) return taken;
        if (isOver(wait)) return { status: "waiting", sent: this.#sent !== null };
        await nextLook(this.#watch, wait, POLL_MS);
        if ((this.#sent?.reply.answer() ?? null) === null) record = await this.#reload();
      }
    } finally {
      this.#sent?.reply[Symbol.dispose]();
    }
  }

  /** One look at the reply and the record; null: nothing yet. */
  async #advance(record: EpisodeRecord): Promise<Taken | null> {
    const reply = this.#sent?.reply.answer() ?? null;
    if (reply !== null) {
      if ("observed" in reply) return { status: "observed", observed: reply.observed };
      return this.#refused(reply.refused);
    }
    if (record.state === "done" || record.state === "verifying") return this.#late(record);
    if (this.#refusedForGood) return null;
    if (record.worker === null || record.state === "queued" || record.state === "booting") {
      this.#forget();
      if (record.state === "parked")
        await this.#parts.queues.addEpisode({ episode_id: record.episode_id, term: record.term + 1 });
      return null;
    }
    const sent = this.#sent;
    if (sent === null || sent.worker !== record.worker || sent.term !== record.term) {
      await this.#send(record.worker, record.term);
      return null;
    }
    if (steadyNow() - sent.at < this.#patienceMs) return null;
    this.#patienceMs = Math.min(2 * this.#patienceMs, MAX_SILENCE_MS);
    const stored = await this.#stored();
    if (stored === null) await this.#send(record.worker, record.term);
    else sent.at = steadyNow();
    return stored?.status === "stored" ? stored : null;
  }

  async #send(worker: string, term: number): Promise<void> {
    this.#forget();
    const reply = this.#parts.hub.expectReply(this.#watch);
    this.#sent = { reply, worker, term, at: steadyNow() };
    await this.#parts.mailbox.toWorker(worker, {
      type: "step",
      episode_id: this.#first.episode_id,
      term,
      server: this.#parts.serverId,
      correlation: reply.correlation,
      ...this.#body,
    });
  }

  #forget(): void {
    this.#sent?.reply[Symbol.dispose]();
    this.#sent = null;
  }

  async #refused(refusal: StepRefusal): Promise<Taken | null> {
    if (refusal.code === "invalid_request")
      throw new ProblemError("invalid_request", refusal.detail, "the step's number is not used up; send another body");
    const stored = await this.#stored();
    if (stored?.status === "stored") return stored;
    // Its owner changed, or is about to end: what the record says next decides.
    this.#forget();
    if (refusal.code === "stale") return null;
    if (refusal.code === "finished") {
      this.#refusedForGood = true;
      return this.#late(await this.#reload());
    }
    if (refusal.code === "conflict")
      throw new ProblemError(
        "conflict",
        refusal.detail,
        "a step's number is used up: send the same body, or the next number",
      );
    const expected =
      refusal.expected_seq === undefined ? "GET the episode for the number" : `send seq ${refusal.expected_seq}`;
    throw new ProblemError("seq_mismatch", refusal.detail, expected);
  }

  /** A step that came when the episode takes none any more. */
  async #late(record: EpisodeRecord): Promise<Taken | null> {
    const stored = await this.#stored();
    if (stored?.status === "stored") return stored;
    // Accepted, but its answer was lost with its owner.
    if (stored?.status === "accepted" || this.#sent !== null)
      return record.state === "done" ? { status: "ended" } : null;
    if (record.state === "done" && isOurFailure(record)) return { status: "ended" };
    if (record.state !== "done" && record.state !== "verifying") return null;
    const how = record.stop_reason === null ? "" : ` (${record.stop_reason})`;
    throw new ProblemError("finished", `${record.episode_id} takes no more steps${how}`, "GET it for the result");
  }

  /** What the store knows of this step; null: nothing. */
  async #stored(): Promise<{ status: "stored"; step: StepPart } | { status: "accepted" } | null> {
    const { conversation, seq, action } = this.#body;
    const known = (await foldEpisode(this.#parts.store, this.#first.episode_id, STEP_EVENTS)).step(conversation, seq);
    if (known === null) return null;
    if (known.bodyDigest !== sha256(canonicalJson({ conversation, seq, action })))
      throw new ProblemError(
        "conflict",
        `step ${seq} of ${conversation} was sent before with another body`,
        "a step's number is used up: send the same body, or the next number",
      );
    return known.observed === null ? { status: "accepted" } : { status: "stored", step: known.observed };
  }

  async #reload(): Promise<EpisodeRecord> {
    return (await this.#parts.store.episode(this.#first.episode_id)) ?? this.#first;
  }
}

/** The caller could not know that it ended: it gets the outcome instead of a problem. */
const isOurFailure = (record: EpisodeRecord): boolean =>
  record.outcome === "infra_error" || record.outcome === "verifier_error";

/** The hot path: the record read before the step and the worker's reply are the whole answer. */
async function answerObserved(
  parts: Parts,
  caller: Caller,
  record: EpisodeRecord,
  observed: StepObserved,
  wait: Wait,
): Promise<EpisodeAnswer> {
  if (observed.stop_reason !== null) return answerStored(parts, caller, record.episode_id, observed, wait);
  return episodeAnswer({
    record,
    caller,
    verdicts: [],
    pendingReason: null,
    state: observed.state,
    step: observed,
    activeAt: steadyNow(),
  });
}

/** Waits for the verdict when the step ended the episode. */
async function answerStored(
  parts: Parts,
  caller: Caller,
  id: EpisodeId,
  step: StepPart,
  wait: Wait,
): Promise<EpisodeAnswer> {
  const ends = step.stop_reason !== null;
  const record = ends
    ? await waitForEpisode(parts, id, ({ state }) => state === "done", wait)
    : await visibleEpisode(parts, caller, id);
  return episodeAnswer({
    record,
    caller,
    verdicts: await verdictsFor(parts, record),
    pendingReason: null,
    ...(ends && record.state !== "done" ? { state: "verifying" as const } : {}),
    step,
    activeAt: Math.max(record.updated_at, steadyNow()),
  });
}

/** A call that leaves early leaves a step that the log knows, so that a GET after it goes on waiting for the answer. */
async function untilAccepted(parts: Parts, id: EpisodeId, { conversation, seq }: StepBody): Promise<void> {
  const deadline = steadyNow() + ACCEPTANCE_MS;
  while ((await foldEpisode(parts.store, id)).step(conversation, seq) === null && steadyNow() < deadline)
    await setTimeout(LOOK_FOR_ACCEPTANCE_MS);
}

async function answerWaiting(
  parts: Parts,
  caller: Caller,
  record: EpisodeRecord,
  sent: boolean,
): Promise<EpisodeAnswer> {
  const fold = await foldEpisode(parts.store, record.episode_id);
  const answer = await answerFromFold(parts, caller, record, fold, { full: false });
  if (sent && answer.state === "ready") return { ...answer, state: "running", observations: [] };
  // Its step waits for a place.
  if (answer.state !== "parked") return answer;
  return { ...answer, pending_reason: (await parts.occupancy.placeReason()) ?? record.pending_reason };
}
