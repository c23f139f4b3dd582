import type { EpisodeRecord, StopReason } from "../../core/episode.ts";
import type { EventBody } from "../../core/events.ts";
import { GymError } from "../../core/errors.ts";
import type { Framework, FrameworkSession, Turn } from "../../core/framework.ts";
import type { StepObserved, StepRefusal, WorkerMail } from "../../core/mail.ts";
import type { Action, Observation } from "../../core/messages.ts";
import type { OutputChunk, Sandbox } from "../../core/sandbox.ts";
import type { Task } from "../../core/task.ts";
import type { BaseLease } from "../bases.ts";
import type { WorkerDeps } from "../deps.ts";
import { bodyDigest, Conversation, type Asker, type StepMail } from "./conversation.ts";
import { describeFailure, endUnjudged, freezeAndExport, handOver, isJudged, notifyState, type Failure } from "./ending.ts";
import type { Journal } from "./journal.ts";
import { abortable, StepCut, watchLimits } from "./limits.ts";
import type { Meter } from "./meter.ts";

/** A step that takes longer than this shows as `running` in the store. */
const SLOW_STEP_MS = 100;
/** Progress text of one notice. */
const MAX_PROGRESS_CHARS = 4_000;
const PROGRESS_EVERY_MS = 1_000;
const MAX_TIMER_MS = 2 ** 31 - 1;
const FINISH_STOPS = { submitted: "submitted", truncated: "context_overflow", abandoned: "abandoned" } as const satisfies Record<string, StopReason>;

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
  /** Booting and running of this owner so far. */
  readonly wallUsedMs: number;
}

/**
 * One live episode in its owner: ready ⇄ running, until its end hands it to the verifiers (verifying) or closes it (done).
 *
 *   ready --step--> running --observed--> ready
 *   ready | running --finish, the framework's end, a limit--> verifying
 *   ready | running --cancel, idle, a lost sandbox--> done
 *
 * Steps run one at a time. A step is answered after its events are durable. Every side effect carries the term; the first
 * that finds a newer one stops the actor without another.
 */
export class EpisodeActor {
  readonly #parts: ActorParts;
  readonly #main = new Conversation();
  readonly #ended = Promise.withResolvers<void>();
  #queue: Promise<void> = Promise.resolve();
  #steps = 0;
  #wallUsedMs: number;
  #ending = false;
  #running: AbortController | null = null;
  #idleTimer: NodeJS.Timeout | undefined;
  #tools: EventBody[] = [];

  constructor(parts: ActorParts) {
    this.#parts = parts;
    this.#wallUsedMs = parts.wallUsedMs;
    this.#armIdle();
  }

  /** Settles when this owner is done with the episode; rejects when it lost it (`stale_term`). */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  get isEnding(): boolean {
    return this.#ending;
  }

  get nextSeq(): number {
    return this.#main.nextSeq;
  }

  /** Takes a letter from the mailbox. Never throws: what goes wrong ends the episode. */
  deliver(mail: WorkerMail): void {
    const handled = mail.type === "cancel" ? this.#cancel() : this.#onStep(mail);
    handled.catch((error: unknown) => this.#lose(error));
  }

  /** One step of a scripted policy. */
  async act(action: Action): Promise<void> {
    const mail: StepMail = {
      type: "step",
      episode_id: this.#parts.record.episode_id,
      term: this.#parts.record.term,
      server: "",
      correlation: "",
      conversation: "main",
      seq: this.#main.nextSeq,
      action,
    };
    await this.#onStep(mail);
  }

  /** A running step is cut and ends the episode itself, so that its own event comes first. */
  async #cancel(): Promise<void> {
    if (this.#running === null) await this.end("cancelled", null);
    else this.#running.abort(new StepCut("cancelled"));
  }

  /** Ends the episode once; a second call changes nothing. */
  async end(reason: StopReason, failure: Failure | null): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    clearTimeout(this.#idleTimer);
    const { deps, record, journal, lease, sandbox, session, task } = this.#parts;
    const owner = { deps, record, journal };
    const used = { steps: this.#steps, wall_used_ms: Math.round(this.#wallUsedMs) };
    try {
      await closeSession(session, deps, record);
      if (isJudged(reason)) {
        const { submission, flags } = await freezeAndExport(deps, sandbox, lease.snapshot, "/workspace");
        await handOver(owner, submission, reason, { ...used, flags });
      } else {
        await endUnjudged(owner, reason, failure, used);
      }
      deps.log.info({ episodeId: record.episode_id, reason, taskId: task.id }, "episode ended");
    } catch (error) {
      if (error instanceof GymError && error.code === "stale_term") throw error;
      await endUnjudged(owner, "sandbox_lost", describeFailure(error, "export"), used);
    } finally {
      await this.#free();
    }
    this.#ended.resolve();
  }

  /** Stops without a side effect: somebody else owns the episode, or the process is closing. */
  async abandon(): Promise<void> {
    this.#ending = true;
    clearTimeout(this.#idleTimer);
    this.#running?.abort(new StepCut("cancelled"));
    await this.#free();
    this.#ended.resolve();
  }

  async #free(): Promise<void> {
    await this.#parts.sandbox.close();
    this.#parts.lease[Symbol.dispose]();
  }

  #lose(error: unknown): void {
    const { deps, record } = this.#parts;
    deps.log.warn({ err: error, episodeId: record.episode_id, term: record.term }, "episode stopped in this owner");
    this.abandon().catch((cause: unknown) => this.#ended.reject(cause));
  }

  async #onStep(mail: StepMail): Promise<void> {
    const refuse = (refusal: StepRefusal) => this.#reply([mail], { refused: refusal });
    if (mail.term !== this.#parts.record.term) return refuse({ code: "stale", detail: `term ${mail.term} is not ${this.#parts.record.term}` });
    if (mail.conversation !== "main") return refuse({ code: "invalid_request", detail: `there is no conversation ${mail.conversation}` });
    const admission = this.#ending ? null : this.#main.admit(mail, bodyDigest(mail));
    if (admission === null) return refuse({ code: "finished", detail: "the episode takes no more steps" });
    switch (admission.status) {
      case "refused":
        return refuse(admission.refusal);
      case "answered":
        return this.#reply([mail], { observed: admission.observed });
      case "join":
        return undefined;
      case "run":
        this.#queue = this.#queue.then(() => this.#run(mail));
        return this.#queue;
    }
  }

  async #run(mail: StepMail): Promise<void> {
    const { deps, record, journal, meter } = this.#parts;
    clearTimeout(this.#idleTimer);
    const started = performance.now();
    meter.toolMs = 0;
    await journal.append({
      type: "step.accepted",
      conversation: mail.conversation,
      seq: mail.seq,
      action: mail.action,
      body_digest: bodyDigest(mail),
      ...(mail.tokens === undefined ? {} : { tokens: mail.tokens }),
    });
    const slow = this.#showRunning(started);
    this.#steps++;
    const { turn, end, failure } = await this.#perform(mail);
    this.#wallUsedMs += performance.now() - started;
    const shown = await slow.stop();
    const stop = end ?? this.#limitReached();
    const toolMs = Math.min(meter.toolMs, performance.now() - started);
    const observed: StepObserved = {
      conversation: mail.conversation,
      seq: mail.seq,
      observations: [observationOf(turn, mail, stop !== null)],
      tool_ms: round(toolMs),
      own_ms: round(performance.now() - started - toolMs),
      steps: this.#steps,
      wall_used_ms: Math.round(this.#wallUsedMs),
      state: stop === null ? "ready" : isJudged(stop) ? "verifying" : "done",
    };
    const { state: _state, ...event } = observed;
    await journal.append(...this.#takeTools(), { type: "step.observed", ...event });
    if (shown && stop === null) await this.#setState("ready");
    const askers = this.#main.settle(observed);
    if (stop === null) this.#armIdle();
    await this.#reply(askers, { observed });
    await deps.mailbox.broadcast({
      type: "notice",
      episode_id: record.episode_id,
      event: "observation",
      state: observed.state,
      worker: deps.workerId,
      term: record.term,
      cursor: journal.last,
      data: observed.observations[0] ?? null,
    });
    if (stop !== null) await this.end(stop, failure);
  }

  /** Lets the framework do what the action says, within the episode's limits. */
  async #perform(mail: StepMail): Promise<{ turn: Turn; end: StopReason | null; failure: Failure | null }> {
    const { record, session, meter } = this.#parts;
    const silent: Turn = { messages: [], mode: "append", end: null };
    if ("finish" in mail.action) return { turn: silent, end: FINISH_STOPS[mail.action.finish.reason], failure: null };
    const controller = new AbortController();
    this.#running = controller;
    using _watch = watchLimits(record.limits, this.#wallUsedMs, meter, controller);
    meter.onRun = (run) =>
      this.#tools.push({
        type: "tool.ran",
        conversation: mail.conversation,
        seq: mail.seq,
        tool: run.tool,
        exit_code: run.exitCode,
        timed_out: run.timedOut,
        duration_ms: round(run.durationMs),
        output_bytes: run.outputBytes,
      });
    try {
      const context = { signal: controller.signal, onOutput: this.#progress(mail) };
      const turn = await abortable(session.step(mail.action, context), controller.signal);
      return { turn, end: turn.end, failure: null };
    } catch (error) {
      if (error instanceof StepCut) return { turn: silent, end: error.reason, failure: null };
      if (error instanceof GymError && error.code === "sandbox_killed") return { turn: silent, end: "sandbox_killed", failure: null };
      return { turn: silent, end: "sandbox_lost", failure: describeFailure(error, "step") };
    } finally {
      this.#running = null;
    }
  }

  #limitReached(): StopReason | null {
    const { limits } = this.#parts.record;
    if (this.#steps >= limits.steps) return "step_limit";
    if (this.#wallUsedMs >= limits.wall_s * 1000) return "wall_limit";
    return this.#parts.meter.outputBytes > limits.output_bytes ? "output_limit" : null;
  }

  /** Writes `running` into the store for slow steps only: few writes per episode. */
  #showRunning(started: number): { stop(): Promise<boolean> } {
    let shown: Promise<void> | null = null;
    const timer = setTimeout(
      () => {
        shown = this.#setState("running");
        shown.catch((error: unknown) => this.#lose(error));
      },
      Math.max(0, SLOW_STEP_MS - (performance.now() - started)),
    );
    return {
      stop: async () => {
        clearTimeout(timer);
        await shown;
        return shown !== null;
      },
    };
  }

  async #setState(state: "ready" | "running"): Promise<void> {
    const { deps, record, journal } = this.#parts;
    const updated = await deps.store.update(
      record.episode_id,
      { term: record.term, states: ["ready", "running"] },
      { state, steps: this.#steps, wall_used_ms: Math.round(this.#wallUsedMs) },
    );
    if (updated === null) throw new GymError("stale_term", `${record.episode_id} has a newer owner than term ${record.term}`);
    await notifyState(deps, updated, journal.last, "state");
  }

  #progress(mail: StepMail): (chunk: OutputChunk) => void {
    const { deps, record, journal } = this.#parts;
    let last = 0;
    return (chunk) => {
      const now = Date.now();
      if (chunk.stream === "channel" || now - last < PROGRESS_EVERY_MS) return;
      last = now;
      const text = Buffer.from(chunk.data).toString().slice(0, MAX_PROGRESS_CHARS);
      const data = { conversation: mail.conversation, seq: mail.seq, stream: chunk.stream, text };
      deps.mailbox
        .broadcast({ type: "notice", episode_id: record.episode_id, event: "progress", state: "running", worker: deps.workerId, term: record.term, cursor: journal.last, data })
        .catch((error: unknown) => deps.log.debug({ err: error }, "progress not sent"));
    };
  }

  #takeTools(): EventBody[] {
    const tools = this.#tools;
    this.#tools = [];
    return tools;
  }

  async #reply(askers: readonly Asker[], result: { observed: StepObserved } | { refused: StepRefusal }): Promise<void> {
    const { deps, record } = this.#parts;
    await Promise.all(
      askers
        .filter((asker) => asker.server !== "")
        .map(({ server, correlation }) => deps.mailbox.toServer(server, { type: "reply", correlation, episode_id: record.episode_id, result })),
    );
  }

  #armIdle(): void {
    clearTimeout(this.#idleTimer);
    const ms = Math.min(this.#parts.record.idle_timeout_s * 1000, MAX_TIMER_MS);
    this.#idleTimer = setTimeout(() => {
      this.end("idle_timeout", null).catch((error: unknown) => this.#lose(error));
    }, ms);
    this.#idleTimer.unref();
  }
}

/** A framework that cannot close its shell any more does not keep the episode from its verdict. */
async function closeSession(session: FrameworkSession, deps: WorkerDeps, record: EpisodeRecord): Promise<void> {
  try {
    await session[Symbol.asyncDispose]();
  } catch (error) {
    deps.log.warn({ err: error, episodeId: record.episode_id }, "framework did not close");
  }
}

export function observationOf(turn: Turn, mail: Pick<StepMail, "conversation" | "seq">, done: boolean): Observation {
  return {
    conversation: mail.conversation,
    parent: null,
    next_seq: mail.seq + 1,
    mode: turn.mode,
    messages: [...turn.messages],
    ...(turn.tools === undefined ? {} : { tools: [...turn.tools] }),
    done,
  };
}

const round = (ms: number): number => Math.round(ms * 1000) / 1000;
