import type { StopReason } from "../../core/episode.ts";
import { GymError } from "../../core/errors.ts";
import type { EpisodeMail, StepObserved, StepRefusal } from "../../core/mail.ts";
import type { Action, ObservationInfo } from "../../core/messages.ts";
import { steadyNow } from "../../platform/clock.ts";
import { bodyDigest, Conversation, type StepMail } from "./conversation.ts";
import {
  backToQueue,
  describeFailure,
  endUnjudged,
  type Failure,
  freezeAndExport,
  handOver,
  isJudged,
  notifyState,
} from "./ending.ts";
import { limitReached, StepCut } from "./limits.ts";
import { parkWorkspace, type Reopened } from "./parking.ts";
import { type Performed, perform } from "./perform.ts";
import { Saver } from "./saving.ts";
import { type ActorParts, closeSession } from "./session.ts";
import { markWhenSlow } from "./slow-step.ts";
import { acceptedEvent, observationOf, round } from "./step-events.ts";
import { announceObservation, progressSender, reply } from "./telling.ts";

/**
 * One live episode in its owner: ready ⇄ running, until it is parked, handed to the verifiers or ended.
 *
 *   ready --step--> running --observed--> ready
 *   ready --idle or pressure--> parked
 *   ready | running --finish, the framework's end, a limit--> verifying
 *   ready | running --cancel, a lost sandbox--> done
 *
 * Steps run one at a time. A step is answered after its events are durable. Every side effect carries the term; the first
 * that finds a newer one stops the actor without another.
 */
export class EpisodeActor {
  #parts: ActorParts;
  readonly #main = new Conversation();
  readonly #ended = Promise.withResolvers<void>();
  #queue: Promise<void> = Promise.resolve();
  #steps: number;
  #wallUsedMs: number;
  /** live: takes steps. leaving: ends or is being parked. left: nothing is held any more. */
  #phase: "live" | "leaving" | "left" = "live";
  #running: AbortController | null = null;
  /** From the start of a step until the record says what its answer says. */
  #inStep = false;
  #idleSince = steadyNow();
  #mayPark = true;
  readonly #saver: Saver;
  #saving: Promise<void> | null = null;
  /** Told with the next observation. */
  #info: ObservationInfo | null;

  constructor(parts: ActorParts) {
    this.#parts = parts;
    this.#saver = new Saver(parts.deps.saving);
    this.#steps = parts.start.steps;
    this.#wallUsedMs = parts.start.wallUsedMs;
    this.#info = parts.start.info;
    this.#main.startAt(parts.start.nextSeq);
  }

  /** Settles when this owner is done with the episode. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  get isLive(): boolean {
    return this.#phase === "live";
  }

  get term(): number {
    return this.#parts.record.term;
  }

  /** Id of the token that made it. */
  get owner(): string {
    return this.#parts.record.owner;
  }

  get nextSeq(): number {
    return this.#main.nextSeq;
  }

  /** Epoch ms since when it waits for the policy; null while a step runs, it is leaving or cannot be parked. */
  get idleSince(): number | null {
    const idle = this.isLive && !this.#inStep && this.#saving === null && !this.#main.isRunning;
    return idle && this.#mayPark ? this.#idleSince : null;
  }

  /** Takes a letter from the mailbox. Never throws: what goes wrong ends the episode here. */
  deliver(mail: EpisodeMail): void {
    this.#handle(mail).catch((error: unknown) => this.#lose(error));
  }

  async #handle(mail: EpisodeMail): Promise<void> {
    switch (mail.type) {
      case "step":
        return this.#onStep(mail);
      case "cancel":
        return this.cancel();
      case "park":
        await this.#queue;
        await this.park();
    }
  }

  /** One step of a scripted policy. */
  async act(action: Action): Promise<void> {
    const { episode_id, term } = this.#parts.record;
    await this.#onStep({
      type: "step",
      episode_id,
      term,
      server: "",
      correlation: "",
      conversation: "main",
      seq: this.#main.nextSeq,
      action,
    });
  }

  /** Runs a step that an earlier owner accepted and did not live to answer. */
  async resume(mail: StepMail): Promise<void> {
    this.#main.admit(mail, bodyDigest(mail));
    this.#queue = this.#run(mail, true);
    await this.#queue;
  }

  /** A running step is cut and ends the episode itself, so that its own event comes first. */
  async cancel(): Promise<void> {
    if (this.#running === null) await this.end("cancelled", null);
    else this.#running.abort(new StepCut("cancelled"));
  }

  /** Ends the episode once; a second call changes nothing. */
  async end(reason: StopReason, failure: Failure | null): Promise<void> {
    if (!this.#leave()) return;
    await this.#settled();
    const { deps, record, journal, lease, sandbox } = this.#parts;
    const owner = { deps, record, journal };
    const used = this.#used();
    try {
      await closeSession(this.#parts);
      if (isJudged(reason)) {
        const { submission, flags } = await freezeAndExport(deps, sandbox, lease.snapshot, "/workspace");
        await handOver(owner, submission, reason, { ...used, flags });
      } else {
        await endUnjudged(owner, reason, failure, used);
      }
      deps.log.info({ episodeId: record.episode_id, reason }, "episode left its owner");
    } catch (error) {
      if (error instanceof GymError && error.code === "stale_term") throw error;
      await endUnjudged(owner, "sandbox_lost", describeFailure(error, "export"), used);
    } finally {
      await this.#free();
    }
  }

  /** Gives up sandbox and slot, keeps the workspace (api.md §2). False when it was not idle or cannot be parked. */
  async park(): Promise<boolean> {
    if (this.idleSince === null || !this.#leave()) return false;
    try {
      await this.#settled();
      const parked = await parkWorkspace(this.#parts, this.#used());
      if (parked.status !== "parked") {
        if (parked.status === "kept") this.#goOnIn(parked);
        this.#mayPark = parked.status !== "kept";
        this.#idleSince = steadyNow();
        this.#phase = "live";
        return false;
      }
    } catch (error) {
      this.#parts.deps.log.warn({ err: error, episodeId: this.#parts.record.episode_id }, "parking failed");
      await this.#free();
      return false;
    }
    await this.#free();
    return true;
  }

  /** Stops without a side effect: somebody else owns the episode, or will. */
  async abandon(): Promise<void> {
    if (this.#phase === "left") return;
    this.#phase = "leaving";
    this.#running?.abort(new StepCut("cancelled"));
    await this.#settled();
    await this.#free();
  }

  /** As {@link abandon}, and puts it back into the queue: a worker that goes away hands over, its term is not a lost one. */
  async leaveToOthers(): Promise<void> {
    const { deps, record } = this.#parts;
    await this.abandon();
    await backToQueue(deps, record, { lostTerms: 0 });
  }

  /** Saves the episode when it is time, before its next step runs. */
  async #saveWhenDue(seq: number): Promise<void> {
    if (!this.#saver.countStep() || !this.isLive) return;
    const saving = this.#saver.save(this.#parts, { seq }).then((reopened) => {
      if (reopened !== null) this.#goOnIn(reopened);
    });
    this.#saving = saving.catch(() => undefined); // whoever leaves waits for its end; its failure is thrown below
    try {
      await saving;
    } finally {
      this.#saving = null;
    }
  }

  async #settled(): Promise<void> {
    await this.#saving;
    await this.#saver.settled;
  }

  #goOnIn({ sandbox, session, info }: Reopened): void {
    this.#parts = { ...this.#parts, sandbox, session };
    this.#info = info ?? this.#info;
  }

  #leave(): boolean {
    if (this.#phase !== "live") return false;
    this.#phase = "leaving";
    return true;
  }

  #used() {
    return { steps: this.#steps, wall_used_ms: Math.round(this.#wallUsedMs) };
  }

  async #free(): Promise<void> {
    if (this.#phase === "left") return;
    this.#phase = "left";
    try {
      await this.#parts.sandbox.close();
    } finally {
      this.#parts.lease[Symbol.dispose]();
      this.#ended.resolve();
    }
  }

  #lose(error: unknown): void {
    const { deps, record } = this.#parts;
    deps.log.warn({ err: error, episodeId: record.episode_id, term: record.term }, "episode stopped in this owner");
    this.abandon().catch((cause: unknown) =>
      deps.log.error({ err: cause, episodeId: record.episode_id }, "sandbox did not close"),
    );
  }

  async #onStep(mail: StepMail): Promise<void> {
    const refuse = (refusal: StepRefusal) => reply(this.#parts, [mail], { refused: refusal });
    if (mail.term !== this.#parts.record.term)
      return refuse({ code: "stale", detail: `term ${mail.term} is not ${this.#parts.record.term}` });
    if (mail.conversation !== "main")
      return refuse({ code: "invalid_request", detail: `there is no conversation ${mail.conversation}` });
    if (!this.isLive) return refuse({ code: "stale", detail: "the episode leaves this worker" });
    const admission = this.#main.admit(mail, bodyDigest(mail));
    switch (admission.status) {
      case "refused":
        return refuse(admission.refusal);
      case "answered":
        return reply(this.#parts, [mail], { observed: admission.observed });
      case "join":
        return undefined;
      case "run":
        this.#queue = this.#queue.then(() => this.#run(mail, false));
        return this.#queue;
    }
  }

  async #run(mail: StepMail, accepted: boolean): Promise<void> {
    const { deps, record, journal, meter, session, sandbox, view } = this.#parts;
    const started = performance.now();
    meter.toolMs = 0;
    const controller = new AbortController();
    this.#running = controller;
    this.#inStep = true;
    if (!accepted) await journal.append(acceptedEvent(mail));
    const slow = markWhenSlow(
      started,
      () => this.#setState("running"),
      (error) => this.#lose(error),
    );
    this.#steps++;
    const frame = {
      session,
      meter,
      controller,
      limits: record.limits,
      wallUsedMs: this.#wallUsedMs,
      onOutput: progressSender(this.#parts, mail),
    };
    const done = await perform(mail, frame);
    // Abandoned meanwhile: the step is the next owner's to run and to answer.
    if (!this.isLive) return void (await slow.stop());
    this.#running = null;
    this.#wallUsedMs += performance.now() - started;
    const shown = await slow.stop();
    const observed = this.#observe(mail, done, performance.now() - started);
    // Answered, it looks idle until its end is handed over; parked then, nobody would wake it.
    if (observed.stop_reason !== null) this.#mayPark = false;
    const { state: _state, ...event } = observed;
    const workspaceView = observed.stop_reason === null ? await view.after(mail.seq, sandbox) : null;
    await journal.append(...done.tools, { type: "step.observed", ...event, workspace_view: workspaceView });
    // A server may read it from now on, and its client send the next.
    const askers = this.#main.settle(observed);
    if (shown && observed.stop_reason === null) await this.#setState("ready");
    this.#idleSince = steadyNow();
    this.#inStep = false;
    await reply(this.#parts, askers, { observed });
    await announceObservation(this.#parts, observed);
    if (observed.stop_reason !== null) await this.end(observed.stop_reason, done.failure);
    else await this.#saveWhenDue(mail.seq);
    deps.log.debug({ episodeId: record.episode_id, seq: mail.seq }, "step answered");
  }

  #observe(mail: StepMail, { turn, stop }: Performed, elapsedMs: number): StepObserved {
    const { record, meter } = this.#parts;
    const reason = stop ?? limitReached(record.limits, { ...this.#used(), outputBytes: meter.outputBytes });
    const info = this.#info;
    this.#info = null;
    const toolMs = Math.min(meter.toolMs, elapsedMs);
    return {
      conversation: mail.conversation,
      seq: mail.seq,
      observations: [observationOf(turn, mail, { done: reason !== null, info })],
      tool_ms: round(toolMs),
      own_ms: round(elapsedMs - toolMs),
      ...this.#used(),
      stop_reason: reason,
      state: reason === null ? "ready" : isJudged(reason) ? "verifying" : "done",
    };
  }

  async #setState(state: "ready" | "running"): Promise<void> {
    const { deps, record, journal } = this.#parts;
    const guard = { term: record.term, states: ["ready", "running"] } as const;
    const updated = await deps.store.update(record.episode_id, guard, { state, ...this.#used() });
    if (updated === null)
      throw new GymError("stale_term", `${record.episode_id} has a newer owner than term ${record.term}`);
    await notifyState(deps, updated, journal.last, "state");
  }
}
