import type { EpisodeRecord } from "../../core/episode.ts";
import type { EpisodeId } from "../../core/ids.ts";
import type { EpisodeFilter } from "../../core/store.ts";
import { type Caller, filterFor } from "../auth/caller.ts";
import { foldEpisode } from "../fold.ts";
import type { Notice } from "../hub.ts";
import type { Parts } from "../parts.ts";
import { doneEvent, type EventFrame, eventOf, isNews, replayed } from "./events.ts";

/** Events on their way to one socket; a reader that is further behind is closed. */
const MAX_QUEUED = 20_000;
/** Episodes whose record is remembered, to know whose events they are. */
const MAX_KNOWN = 10_000;

export interface EventSink {
  /** The caller as of now; null when the token was revoked. */
  caller(): Promise<Caller | null>;
  send(frame: EventFrame): Promise<void>;
  /** The reader is too slow. */
  overflow(): void;
  fail(error: unknown): void;
}

/** What one socket is told of. Events of all its episodes go out in the order in which they were said. */
export class Subscriptions {
  readonly #parts: Parts;
  readonly #sink: EventSink;
  readonly #episodes = new Map<EpisodeId, () => void>();
  readonly #known = new Map<EpisodeId, EpisodeRecord>();
  #wide: (() => void) | null = null;
  #tail: Promise<void> = Promise.resolve();
  #queued = 0;

  constructor(parts: Parts, sink: EventSink) {
    this.#parts = parts;
    this.#sink = sink;
  }

  /** From now on. */
  follow(id: EpisodeId): void {
    if (this.#episodes.has(id)) return;
    this.#episodes.set(
      id,
      this.#parts.hub.follow(id, (notice) => this.#tell(notice)),
    );
  }

  /** First what was said after a cursor, then what is said from now on. Nothing falls between. */
  followAfter(caller: Caller, record: EpisodeRecord, after: number): void {
    let told = after;
    this.#enqueue(async () => {
      for await (const frame of replayed(this.#parts, caller, record, after)) {
        told = Math.max(told, frame.cursor);
        await this.#sink.send(frame);
      }
    });
    this.#episodes.get(record.episode_id)?.();
    const stop = this.#parts.hub.follow(record.episode_id, (notice) => {
      this.#tell(notice, () => isNews(notice, told));
    });
    this.#episodes.set(record.episode_id, stop);
  }

  /** Every episode that the filter takes; `after`: first those that ended after that place in the order of completion. */
  followAll(caller: Caller, filter: EpisodeFilter, after: string | undefined): void {
    this.#wide?.();
    this.#wide = this.#parts.hub.follow(null, (notice) => {
      if (!this.#episodes.has(notice.episode_id)) this.#tell(notice, undefined, filter);
    });
    if (after !== undefined) this.#enqueue(() => this.#replayCompletions(caller, filter, after));
  }

  close(): void {
    for (const stop of this.#episodes.values()) stop();
    this.#episodes.clear();
    this.#wide?.();
    this.#wide = null;
  }

  async #replayCompletions(caller: Caller, filter: EpisodeFilter, after: string): Promise<void> {
    for (let from: string | undefined = after === "" ? undefined : after; ; ) {
      const page = await this.#parts.store.completions(filterFor(caller, filter), { after: from, limit: 100 });
      for (const [i, record] of page.items.entries()) {
        const frame = await doneEvent(
          this.#parts,
          caller,
          record,
          (await foldEpisode(this.#parts.store, record.episode_id)).cursor,
        );
        await this.#sink.send({ ...frame, delivery: page.cursors[i] ?? null });
      }
      from = page.cursors.at(-1) ?? from;
      if (page.next === null) return;
    }
  }

  #tell(notice: Notice, isWanted: () => boolean = () => true, filter: EpisodeFilter = {}): void {
    this.#enqueue(async () => {
      if (!isWanted()) return;
      const caller = await this.#sink.caller();
      if (caller === null) return;
      const record = await this.#recordOf(notice.episode_id);
      if (record === null || (filter.run !== undefined && record.run !== filter.run)) return;
      const frame = await eventOf(this.#parts, caller, notice, record);
      if (frame !== null) await this.#sink.send(frame);
      if (notice.event === "done") this.#forget(notice.episode_id);
    });
  }

  /** Owner, run and environment of an episode never change. */
  async #recordOf(id: EpisodeId): Promise<EpisodeRecord | null> {
    const known = this.#known.get(id);
    if (known !== undefined) return known;
    const record = await this.#parts.store.episode(id);
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    if (record !== null) this.#known.set(id, record);
    return record;
  }

  #forget(id: EpisodeId): void {
    this.#episodes.get(id)?.();
    this.#episodes.delete(id);
    this.#known.delete(id);
  }

  #enqueue(work: () => Promise<void>): void {
    if (++this.#queued > MAX_QUEUED) {
      this.#sink.overflow();
      return;
    }
    this.#tail = this.#tail
      .then(work)
      .catch((error: unknown) => this.#sink.fail(error))
      .finally(() => {
        this.#queued--;
      });
  }
}
