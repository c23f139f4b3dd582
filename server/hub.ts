import { randomBytes } from "node:crypto";
import type { Json } from "../core/json.ts";
import type { ServerMail } from "../core/mail.ts";

export type Notice = Extract<ServerMail, { type: "notice" }>;
export type Reply = Extract<ServerMail, { type: "reply" }>["result"];

/** Wakes who waits when something was said since the last wait: a word between two waits is not lost. */
export class Watch implements Disposable {
  readonly #forget: () => void;
  #rung = false;
  #wake: (() => void) | null = null;

  constructor(forget: () => void) {
    this.#forget = forget;
  }

  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  /** Resolves at the next word, after `timeoutMs`, or when `signal` aborts. One wait at a time. */
  async changed(timeoutMs: number, signal: AbortSignal): Promise<void> {
    if (!this.#rung && !signal.aborted && timeoutMs > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, timeoutMs);
      signal.addEventListener("abort", resolve as () => void, { once: true }); // a resolver without a value
      this.#wake = resolve;
      await promise;
      clearTimeout(timer);
      signal.removeEventListener("abort", resolve as () => void); // the same listener
      this.#wake = null;
    }
    this.#rung = false;
  }

  [Symbol.dispose](): void {
    this.#forget();
  }
}

/** An answer that a worker owes under `correlation`. */
export interface Expected<T> extends Disposable {
  readonly correlation: string;
  /** Null until it has come. */
  answer(): T | null;
}

class Inbox<T> {
  readonly #open = new Map<string, { answer: T | null; watch: Watch }>();

  expect(watch: Watch): Expected<T> {
    const correlation = randomBytes(12).toString("base64url");
    const entry: { answer: T | null; watch: Watch } = { answer: null, watch };
    this.#open.set(correlation, entry);
    return { correlation, answer: () => entry.answer, [Symbol.dispose]: () => void this.#open.delete(correlation) };
  }

  settle(correlation: string, answer: T): void {
    const entry = this.#open.get(correlation);
    if (entry === undefined) return;
    entry.answer = answer;
    entry.watch.ring();
  }
}

/**
 * Hands this server's mail to those who wait for it. Mail is a hint about what the store holds, so whoever waits here also
 * looks there from time to time.
 */
export class MailHub {
  readonly #watches = new Map<string, Set<Watch>>();
  readonly #followers = new Map<string | null, Set<(notice: Notice) => void>>();
  readonly #replies = new Inbox<Reply>();
  readonly #verified = new Inbox<Json>();

  onMail(mail: ServerMail): void {
    switch (mail.type) {
      case "notice":
        if (mail.event !== "progress") this.#ring(mail.episode_id);
        for (const id of [mail.episode_id, null]) for (const follow of this.#followers.get(id) ?? []) follow(mail);
        return;
      case "job":
        this.#ring(mail.job_id);
        return;
      case "reply":
        this.#replies.settle(mail.correlation, mail.result);
        return;
      case "verified":
        this.#verified.settle(mail.correlation, mail.answer);
    }
  }

  /** Of an episode or a job, by its id; null: of nothing but an expected answer. */
  watch(id: string | null): Watch {
    const watch: Watch = new Watch(() => {
      if (id === null) return;
      const others = this.#watches.get(id);
      others?.delete(watch);
      if (others?.size === 0) this.#watches.delete(id);
    });
    if (id !== null) this.#watches.set(id, (this.#watches.get(id) ?? new Set()).add(watch));
    return watch;
  }

  /** Tells of every notice about one episode (null: about all), in order, until the answered function is called. */
  follow(id: string | null, follower: (notice: Notice) => void): () => void {
    const others = this.#followers.get(id) ?? new Set();
    this.#followers.set(id, others.add(follower));
    return () => {
      others.delete(follower);
      if (others.size === 0 && this.#followers.get(id) === others) this.#followers.delete(id);
    };
  }

  /** A step's reply; it wakes `watch` when it comes. */
  expectReply(watch: Watch): Expected<Reply> {
    return this.#replies.expect(watch);
  }

  /** The answer to a stateless verification. */
  expectVerified(watch: Watch): Expected<Json> {
    return this.#verified.expect(watch);
  }

  #ring(id: string): void {
    for (const watch of this.#watches.get(id) ?? []) watch.ring();
  }
}
