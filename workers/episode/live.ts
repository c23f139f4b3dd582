import type { EpisodeId } from "../../core/ids.ts";
import type { EpisodeMail } from "../../core/mail.ts";
import type { EpisodeStore } from "../../core/store.ts";
import { steadyNow } from "../../platform/clock.ts";
import type { Mailbox } from "../../platform/mailbox.ts";
import type { EpisodeActor } from "./actor.ts";

/** The episodes that live in this process. */
export class LiveEpisodes {
  readonly #actors = new Map<EpisodeId, EpisodeActor>();
  readonly #owned = new Set<EpisodeId>();
  readonly #mailbox: Mailbox;

  constructor(mailbox: Mailbox) {
    this.#mailbox = mailbox;
  }

  /** Booting ones count. */
  get size(): number {
    return this.#owned.size;
  }

  /** A term was granted to this process: it is the owner until {@link remove}. */
  own(id: EpisodeId): void {
    this.#owned.add(id);
  }

  owns(id: EpisodeId): boolean {
    return this.#owned.has(id);
  }

  add(id: EpisodeId, actor: EpisodeActor): void {
    this.#actors.set(id, actor);
  }

  remove(id: EpisodeId): void {
    this.#actors.delete(id);
    this.#owned.delete(id);
  }

  /** A letter for an episode that is not here (any more) is answered `stale`: the server looks into the store. */
  async deliver(mail: EpisodeMail): Promise<void> {
    const actor = this.#actors.get(mail.episode_id);
    if (actor !== undefined) return actor.deliver(mail);
    const refused = { code: "stale" as const, detail: `${mail.episode_id} does not live in this worker` };
    return this.#mailbox.toServer(mail.server, {
      type: "reply",
      correlation: mail.correlation,
      episode_id: mail.episode_id,
      result: { refused },
    });
  }

  /**
   * Parks up to `most` episodes that have waited for their policy for `idleMs` or more, the longest first. With `owner` only
   * those of this token.
   */
  async parkIdle(idleMs: number, most: number, owner?: string): Promise<number> {
    const now = steadyNow();
    const idle = [...this.#actors.values()]
      .filter((actor) => owner === undefined || actor.owner === owner)
      .map((actor) => ({ actor, since: actor.idleSince }))
      .filter(({ since }) => since !== null && now - since >= idleMs)
      .sort((a, b) => (a.since ?? 0) - (b.since ?? 0))
      .slice(0, most);
    const parked = await Promise.all(idle.map(({ actor }) => actor.park()));
    return parked.filter(Boolean).length;
  }

  /**
   * Lets go of those that have a newer owner. For who was cut off, or stood still, for longer than its locks hold: the word
   * that they are lost may have been lost too.
   */
  async leaveStale(store: Pick<EpisodeStore, "episode">): Promise<void> {
    for (const [id, actor] of [...this.#actors]) {
      const record = await store.episode(id);
      if (record !== null && record.term > actor.term) await actor.abandon();
    }
  }

  /** Stops all of them; other workers go on with them at once. */
  async leaveAll(): Promise<void> {
    await Promise.all([...this.#actors.values()].map((actor) => actor.leaveToOthers()));
  }
}
