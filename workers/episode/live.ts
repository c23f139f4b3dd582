import type { EpisodeId } from "../../core/ids.ts";
import type { WorkerMail } from "../../core/mail.ts";
import type { Mailbox } from "../../platform/mailbox.ts";
import type { EpisodeActor } from "./actor.ts";

/** The episodes that live in this process. */
export class LiveEpisodes {
  readonly #actors = new Map<EpisodeId, EpisodeActor>();
  readonly #mailbox: Mailbox;

  constructor(mailbox: Mailbox) {
    this.#mailbox = mailbox;
  }

  get size(): number {
    return this.#actors.size;
  }

  add(id: EpisodeId, actor: EpisodeActor): void {
    this.#actors.set(id, actor);
  }

  remove(id: EpisodeId): void {
    this.#actors.delete(id);
  }

  /** A letter for an episode that is not here (any more) is answered `stale`: the server looks into the store. */
  async deliver(mail: WorkerMail): Promise<void> {
    const actor = this.#actors.get(mail.episode_id);
    if (actor !== undefined) return actor.deliver(mail);
    const refused = { code: "stale" as const, detail: `${mail.episode_id} does not live in this worker` };
    return this.#mailbox.toServer(mail.server, { type: "reply", correlation: mail.correlation, episode_id: mail.episode_id, result: { refused } });
  }

  /** Stops all of them without a side effect; other owners take over. */
  async abandonAll(): Promise<void> {
    await Promise.all([...this.#actors.values()].map((actor) => actor.abandon()));
  }
}
