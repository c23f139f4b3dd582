import type { EpisodeEvent, EventType } from "../core/events.ts";
import type { Digest, EpisodeId } from "../core/ids.ts";
import type { Action, Message, Observation, ToolSchema } from "../core/messages.ts";
import type { EventStore } from "../core/store.ts";

type StepObservedEvent = Extract<EpisodeEvent, { type: "step.observed" }>;

/** One step as the events tell it. */
export interface FoldedStep {
  readonly bodyDigest: Digest;
  /** Null while it runs, or when its owner was lost. */
  observed: StepObservedEvent | null;
}

interface Conversation {
  latest: Observation;
  /** The whole context so far. */
  messages: Message[];
  tools: ToolSchema[] | undefined;
  readonly steps: Map<number, FoldedStep>;
  accepted: number;
}

/** What the events of one episode add up to, as far as answers need it. */
export class EpisodeFold {
  readonly #conversations = new Map<string, Conversation>();
  /** Number of the last event; -1 before the first. */
  cursor = -1;
  lastAt: number | null = null;
  lastStep: StepObservedEvent | null = null;

  apply(event: EpisodeEvent): void {
    this.cursor = event.n;
    this.lastAt = event.at;
    if (event.type === "framework.opened") this.#observe(event.observation);
    else if (event.type === "step.accepted") this.#accept(event);
    else if (event.type === "step.observed") this.#answer(event);
  }

  #answer(event: StepObservedEvent): void {
    const step = this.#conversations.get(event.conversation)?.steps.get(event.seq);
    if (step !== undefined) step.observed = event;
    this.lastStep = event;
    for (const observation of event.observations) this.#observe(observation);
  }

  step(conversation: string, seq: number): FoldedStep | null {
    return this.#conversations.get(conversation)?.steps.get(seq) ?? null;
  }

  nextSeq(conversation: string): number | null {
    return this.#conversations.get(conversation)?.latest.next_seq ?? null;
  }

  /** A step was accepted and has no answer yet. */
  get isRunning(): boolean {
    return [...this.#conversations.values()].some((c) => c.accepted >= c.latest.next_seq && !c.latest.done);
  }

  /** The open observation of every conversation that waits for a step. */
  open(): Observation[] {
    return this.#waiting().map((c) => c.latest);
  }

  /** The same, each with its whole context, for a client that lost its own. */
  openInFull(): Observation[] {
    return this.#waiting().map((c) => ({
      ...c.latest,
      mode: "replace" as const,
      messages: [...c.messages],
      ...(c.tools === undefined ? {} : { tools: c.tools }),
    }));
  }

  #waiting(): Conversation[] {
    return [...this.#conversations.values()].filter((c) => !c.latest.done && c.accepted < c.latest.next_seq);
  }

  #observe(observation: Observation): void {
    const known = this.#conversations.get(observation.conversation);
    if (known === undefined) {
      const { messages, tools } = observation;
      this.#conversations.set(observation.conversation, {
        latest: observation,
        messages: [...messages],
        tools,
        steps: new Map(),
        accepted: 0,
      });
      return;
    }
    known.latest = observation;
    if (observation.mode === "replace") known.messages = [];
    known.messages.push(...observation.messages);
    known.tools = observation.tools ?? known.tools;
  }

  #accept(event: Extract<EpisodeEvent, { type: "step.accepted" }>): void {
    const known = this.#conversations.get(event.conversation);
    if (known === undefined) return;
    known.steps.set(event.seq, { bodyDigest: event.body_digest, observed: null });
    known.accepted = event.seq;
    known.messages.push(...messagesOf(event.action));
  }
}

function messagesOf(action: Action): Message[] {
  if ("message" in action) return [action.message];
  return "text" in action ? [{ role: "assistant", content: action.text }] : [];
}

/** Folds every event of the episode, or those of some types. */
export async function foldEpisode(
  store: EventStore,
  id: EpisodeId,
  types?: readonly EventType[],
): Promise<EpisodeFold> {
  const fold = new EpisodeFold();
  for await (const event of allEvents(store, id, types)) fold.apply(event);
  return fold;
}

/** Page by page, from the start. */
export async function* allEvents(
  store: EventStore,
  id: EpisodeId,
  types?: readonly EventType[],
): AsyncGenerator<EpisodeEvent> {
  for (let from: number | undefined; ; ) {
    const page = await store.events(id, { after: from, types });
    yield* page.events;
    if (page.next === null) return;
    from = page.next;
  }
}
