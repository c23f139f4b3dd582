import type { EpisodeRecord } from "../../core/episode.ts";
import type { EpisodeEvent, EventBody } from "../../core/events.ts";
import type { EpisodeId } from "../../core/ids.ts";
import { createdEvent } from "../../core/new-episode.ts";
import type { EventStore } from "../../core/store.ts";

/** Numbers and stamps one owner's events. One writer per term: the owner. */
export class Journal {
  readonly #store: EventStore;
  readonly #episodeId: EpisodeId;
  readonly #term: number;
  #next: number;

  constructor(store: EventStore, episodeId: EpisodeId, term: number, next: number) {
    this.#store = store;
    this.#episodeId = episodeId;
    this.#term = term;
    this.#next = next;
  }

  /** Goes on after the last durable event of the episode. */
  static async resume(
    store: EventStore,
    episodeId: EpisodeId,
    term: number,
  ): Promise<{ journal: Journal; events: EpisodeEvent[] }> {
    const events = await allEvents(store, episodeId);
    return { journal: new Journal(store, episodeId, term, (events.at(-1)?.n ?? -1) + 1), events };
  }

  /** Number of the last event handed to the store. */
  get last(): number {
    return this.#next - 1;
  }

  /** Resolves when they are durable. */
  async append(...bodies: EventBody[]): Promise<void> {
    const at = Date.now();
    const events = bodies.map(
      (body) => ({ v: 1, episode_id: this.#episodeId, n: this.#next++, term: this.#term, at, ...body }) as EpisodeEvent,
    ); // head and body together are the event
    await this.#store.append(events);
  }
}

/** For an owner: a server that died between the record and its first event left a log that does not begin; it begins here. */
export async function resumeFromBirth(
  store: EventStore,
  record: EpisodeRecord,
): Promise<{ journal: Journal; events: EpisodeEvent[] }> {
  const resumed = await Journal.resume(store, record.episode_id, record.term);
  if (resumed.events.length > 0) return resumed;
  await store.append([createdEvent(record)]);
  return Journal.resume(store, record.episode_id, record.term);
}

export async function allEvents(store: EventStore, episodeId: EpisodeId): Promise<EpisodeEvent[]> {
  const events: EpisodeEvent[] = [];
  for (let after: number | null = -1; after !== null; ) {
    const page = await store.events(episodeId, { after });
    events.push(...page.events);
    after = page.next;
  }
  return events;
}
