import { canonicalJson, type Digest, sha256 } from "../../core/ids.ts";
import type { StepObserved, StepRefusal, WorkerMail } from "../../core/mail.ts";

/** Answers kept in memory for a step sent again; older ones are in the store. */
const KEPT_ANSWERS = 8;

export type StepMail = Extract<WorkerMail, { type: "step" }>;

/** Who waits for a step's answer. */
export interface Asker {
  readonly server: string;
  readonly correlation: string;
}

export const bodyDigest = (mail: Pick<StepMail, "conversation" | "seq" | "action">): Digest =>
  sha256(canonicalJson({ conversation: mail.conversation, seq: mail.seq, action: mail.action }));

export type Admission =
  | { readonly status: "run" }
  | { readonly status: "join" }
  | { readonly status: "answered"; readonly observed: StepObserved }
  | { readonly status: "refused"; readonly refusal: StepRefusal };

/** The numbering of one conversation's steps (api.md §2): each number is answered once, and again when it is sent again. */
export class Conversation {
  #next = 1;
  readonly #answers = new Map<number, { digest: Digest; observed: StepObserved }>();
  #running: { seq: number; digest: Digest; askers: Asker[] } | null = null;

  get nextSeq(): number {
    return this.#next;
  }

  get isRunning(): boolean {
    return this.#running !== null;
  }

  /** Decides what to do with a step. `run` makes it the running one. */
  admit(mail: StepMail, digest: Digest): Admission {
    if (this.#running !== null && mail.seq === this.#running.seq) {
      if (digest !== this.#running.digest) return conflict(mail.seq);
      this.#running.askers.push(mail);
      return { status: "join" };
    }
    if (mail.seq < this.#next) {
      const known = this.#answers.get(mail.seq);
      if (known === undefined)
        return { status: "refused", refusal: { code: "stale", detail: `step ${mail.seq} is answered from the store` } };
      return known.digest === digest ? { status: "answered", observed: known.observed } : conflict(mail.seq);
    }
    if (this.#running !== null || mail.seq > this.#next) return gap(mail.seq, this.#running?.seq ?? this.#next);
    this.#running = { seq: mail.seq, digest, askers: [mail] };
    return { status: "run" };
  }

  /** The running step has its answer; gives those who wait for it. */
  settle(observed: StepObserved): readonly Asker[] {
    const running = this.#running;
    if (running === null) return [];
    this.#running = null;
    this.#next = running.seq + 1;
    this.#answers.set(running.seq, { digest: running.digest, observed });
    for (const seq of this.#answers.keys()) if (seq <= running.seq - KEPT_ANSWERS) this.#answers.delete(seq);
    return running.askers;
  }

  /** Steps already answered by an earlier owner count. */
  startAt(next: number): void {
    this.#next = next;
  }
}

const conflict = (seq: number): Admission => ({
  status: "refused",
  refusal: { code: "conflict", detail: `step ${seq} was sent before with another body` },
});

const gap = (seq: number, expected: number): Admission => ({
  status: "refused",
  refusal: { code: "seq_mismatch", detail: `step ${seq} came where ${expected} is due`, expected_seq: expected },
});
