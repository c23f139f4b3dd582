import { hostname } from "node:os";
import type { Logger } from "pino";
import type { EpisodeRecord } from "../../core/episode.ts";
import { OUTCOME_OF } from "../../core/episode.ts";
import type { EpisodeEvent, EventBody } from "../../core/events.ts";
import { canonicalJson, type EpisodeId, newProcessId, sha256 } from "../../core/ids.ts";
import { type EpisodeJob, type VerifyJob, VerifyRequestBlob } from "../../core/jobs.ts";
import type { Presence, ServerMail, StepObserved, WorkerMail } from "../../core/mail.ts";
import type { Message } from "../../core/messages.ts";
import type { Store } from "../../core/store.ts";
import type { Verdict } from "../../core/verifier.ts";
import { type Mailbox, openMailbox, readMailbox } from "../../platform/mailbox.ts";
import { announce } from "../../platform/presence.ts";
import { openQueues, type Queues, workQueue } from "../../platform/queues.ts";
import { connectRedis } from "../../platform/redis.ts";

type StepMail = Extract<WorkerMail, { type: "step" }>;
type Notice = Extract<ServerMail, { type: "notice" }>;

/**
 * The other side of the protocol, over the real queue and mailbox: it boots episodes at once and answers a step with an
 * echo. Texts steer it: "slow 4000" takes so long, "silent" is done but never replied, "lost" ends the episode as a
 * failure of ours, "big N" answers N characters.
 */
export interface LabWorker extends AsyncDisposable {
  readonly id: string;
  /** Steps that it ran, each counted once. */
  readonly ran: string[];
}

interface Live {
  record: EpisodeRecord;
  n: number;
  next: number;
  readonly answers: Map<number, { digest: string; observed: StepObserved }>;
  running: { digest: string; askers: StepMail[] } | null;
  readonly ended: PromiseWithResolvers<void>;
}

export interface LabOptions {
  readonly url: string;
  readonly store: Store;
  readonly log: Logger;
  /** Boots wait for this. */
  readonly bootGate?: Promise<void>;
}

export async function startLabWorker(options: LabOptions): Promise<LabWorker> {
  const redis = connectRedis(options.url);
  const queues = openQueues({ url: options.url });
  const id = newProcessId("worker");
  const lab = new Lab(options, id, openMailbox({ redis, blobs: options.store }), queues);
  const mail = readMailbox({
    url: options.url,
    kind: "worker",
    id,
    blobs: options.store,
    log: options.log,
    onMail: (letter) => lab.deliver(letter),
  });
  const work = { url: options.url, log: options.log, halted: async () => false, onLockLost: () => undefined };
  const episodes = workQueue({ ...work, queue: "episode", concurrency: 1_000 }, (job) => lab.boot(job));
  const verify = workQueue({ ...work, queue: "verify", concurrency: 50 }, (job) =>
    job.kind === "episode" ? lab.judge(job.episode_id) : lab.judgeSubmission(job),
  );
  const presence = announce({
    redis,
    describe: () => ({
      id,
      kind: "worker",
      pid: process.pid,
      host: hostname(),
      version: "0",
      started_at: 0,
      seen_at: Date.now(),
      state: lab.state,
      live: 0,
      capacity: 1_000,
      jobs: 0,
      sandboxes: 0,
      snapshots: 0,
      snapshot_bytes: 0,
      tier: "lab",
      runtimes: ["bash", "python3"],
      images: { store: "lab", builders: ["packages"], names: ["host", "python"] },
      rss_bytes: 0,
      loop_p99_ms: 0,
    }),
  });
  await presence.refresh();
  return {
    id,
    ran: lab.ran,
    [Symbol.asyncDispose]: async () => {
      lab.stop();
      await mail.close();
      await Promise.all([episodes.close(true), verify.close(true)]);
      await presence.close();
      await queues.close();
      redis.disconnect();
    },
  };
}

class Lab {
  readonly ran: string[] = [];
  /** As it was last told; what it takes is not bound by it. */
  state: Presence["state"] = "running";
  readonly #live = new Map<EpisodeId, Live>();
  readonly #store: Store;
  readonly #gate: Promise<void>;
  readonly #id: string;
  readonly #mailbox: Mailbox;
  readonly #queues: Queues;

  constructor({ store, bootGate }: LabOptions, id: string, mailbox: Mailbox, queues: Queues) {
    this.#store = store;
    this.#gate = bootGate ?? Promise.resolve();
    this.#id = id;
    this.#mailbox = mailbox;
    this.#queues = queues;
  }

  stop(): void {
    for (const live of this.#live.values()) live.ended.resolve();
  }

  async boot(job: EpisodeJob): Promise<void> {
    await this.#gate;
    const record = await this.#store.grantTerm(job.episode_id, this.#id, job.term - 1);
    if (record === null) return;
    const live: Live = { record, n: 1, next: 1, answers: new Map(), running: null, ended: Promise.withResolvers() };
    this.#live.set(record.episode_id, live);
    const observation = {
      conversation: "main",
      parent: null,
      next_seq: 1,
      mode: "append" as const,
      messages: [{ role: "user", content: "write 42 into a.txt" }] satisfies Message[],
      tools: [{ type: "function" as const, function: { name: "bash", description: "runs", parameters: {} } }],
      done: false,
    };
    await this.#append(
      live,
      { type: "term.granted", worker: this.#id, from_n: 1 },
      { type: "framework.opened", observation },
    );
    await this.#update(live, { state: "ready", timing: { queued_ms: 1, boot_ms: 2 } });
    await this.#notify(live, "state");
    if (record.script !== null) await this.#end(live, "submitted");
    await live.ended.promise;
  }

  async deliver(mail: WorkerMail): Promise<void> {
    if (mail.type === "intake") {
      this.state = mail.state;
      return;
    }
    const live = this.#live.get(mail.episode_id);
    if (live === undefined || mail.term !== live.record.term) return this.#refuse(mail, "stale", "not mine");
    if (mail.type === "park") return;
    if (mail.type === "cancel") return this.#endUnjudged(live, "cancelled");
    const digest = sha256(canonicalJson({ conversation: mail.conversation, seq: mail.seq, action: mail.action }));
    const known = live.answers.get(mail.seq);
    if (known !== undefined)
      return known.digest === digest
        ? this.#reply(mail, { observed: known.observed })
        : this.#refuse(mail, "conflict", "other body");
    if (live.running !== null && mail.seq === live.next) {
      if (live.running.digest !== digest) return this.#refuse(mail, "conflict", "other body");
      live.running.askers.push(mail);
      return;
    }
    if (mail.seq !== live.next) return this.#refuse(mail, "seq_mismatch", `${live.next} is due`, live.next);
    await this.#run(live, mail, digest);
  }

  async #run(live: Live, mail: StepMail, digest: ReturnType<typeof sha256>): Promise<void> {
    live.running = { digest, askers: [mail] };
    const { conversation, seq, action } = mail;
    await this.#append(live, { type: "step.accepted", conversation, seq, action, body_digest: digest });
    this.ran.push(`${live.record.episode_id} ${seq}`);
    const text = "finish" in action ? "" : "text" in action ? action.text : (action.message.content ?? "");
    const [verb, amount] = text.split(" ");
    if (verb === "slow") await new Promise((resolve) => setTimeout(resolve, Number(amount)));
    if (verb === "lost") return this.#endUnjudged(live, "sandbox_lost");
    const content = verb === "big" ? "x".repeat(Number(amount)) : `echo: ${text}`;
    const finish = "finish" in action;
    const observed: StepObserved = {
      conversation,
      seq,
      observations: [
        {
          conversation,
          parent: null,
          next_seq: seq + 1,
          mode: "append",
          messages: finish ? [] : [{ role: "user", content }],
          done: finish,
        },
      ],
      tool_ms: 1,
      own_ms: 0.1,
      steps: seq,
      wall_used_ms: 5 * seq,
      state: finish ? "verifying" : "ready",
      stop_reason: finish ? "submitted" : null,
    };
    const { state: _state, ...event } = observed;
    await this.#append(live, { type: "step.observed", ...event, workspace_view: null });
    const { askers } = live.running;
    live.answers.set(seq, { digest, observed });
    live.running = null;
    live.next = seq + 1;
    if (verb === "silent") return;
    for (const asker of askers) await this.#reply(asker, { observed });
    await this.#notify(live, "observation", observed.observations[0]);
    if (finish) await this.#end(live, "submitted");
  }

  async #end(live: Live, reason: "submitted"): Promise<void> {
    const submission = await this.#store.putBlob(Buffer.from("{}"));
    await this.#append(live, { type: "submission.frozen", submission, manifest: [], refused: [], stop_reason: reason });
    await this.#update(live, {
      state: "verifying",
      stop_reason: reason,
      submission,
      reward_status: "pending",
      steps: live.next - 1,
    });
    await this.#queues.addVerify(
      { kind: "episode", episode_id: live.record.episode_id, term: live.record.term },
      { attempt: 1 },
    );
  }

  async judge(id: EpisodeId): Promise<void> {
    const live = this.#live.get(id);
    if (live === undefined) return;
    for (const { id: verifier, version, role } of live.record.environment.verifiers) {
      const verdict: Verdict = {
        verifier,
        version,
        role,
        attempt: 1,
        status: "scored",
        score: role === "train" ? 1 : 0,
        checks: [],
        flags: role === "train" ? [] : [{ name: `flag-of-${verifier}`, detail: "" }],
        detail: { passed: 1 },
        seed: 7,
        submission: null,
        base: "b",
        duration_ms: 1,
      };
      await this.#store.addVerdict(id, verdict);
      await this.#append(live, { type: "verdict.recorded", verdict });
    }
    const flags = ["flag-of-shadowed"];
    await this.#update(live, {
      state: "done",
      worker: null,
      outcome: "ok",
      reward: 1,
      reward_status: "final",
      trainable: true,
      flags,
      ended_at: Date.now(),
    });
    await this.#append(
      live,
      { type: "reward.committed", reward: 1, reward_status: "final", trainable: true },
      { type: "episode.ended", stop_reason: "submitted", outcome: "ok", failure: null },
    );
    await this.#notify(live, "done");
    live.ended.resolve();
  }

  async judgeSubmission(job: Extract<VerifyJob, { kind: "submission" }>): Promise<void> {
    const blob = typeof job.request === "string" ? await this.#store.blob(job.request) : null;
    const request = VerifyRequestBlob.parse(blob === null ? job.request : JSON.parse(Buffer.from(blob).toString()));
    const right = JSON.stringify({ files: { "a.txt": "42\n" } });
    const reward = JSON.stringify(request.submission) === right ? 1 : 0;
    const answer = { reward, reward_status: "final", outcome: "ok", trainable: true, verdicts: [], flags: [] };
    await this.#mailbox.toServer(job.server, {
      type: "verified",
      correlation: job.correlation,
      answer: { ok: true, answer },
    });
  }

  async #endUnjudged(live: Live, reason: "cancelled" | "sandbox_lost"): Promise<void> {
    const outcome = OUTCOME_OF[reason];
    await this.#update(live, {
      state: "done",
      worker: null,
      stop_reason: reason,
      outcome,
      reward_status: "unavailable",
      trainable: false,
      ended_at: Date.now(),
    });
    await this.#append(live, { type: "episode.ended", stop_reason: reason, outcome, failure: null });
    await this.#notify(live, "done");
    live.ended.resolve();
  }

  async #append(live: Live, ...bodies: EventBody[]): Promise<void> {
    const head = { v: 1 as const, episode_id: live.record.episode_id, term: live.record.term, at: Date.now() };
    await this.#store.append(bodies.map((body) => ({ ...head, n: live.n++, ...body }) as EpisodeEvent));
  }

  async #update(live: Live, patch: Parameters<Store["update"]>[2]): Promise<void> {
    live.record = (await this.#store.update(live.record.episode_id, { term: live.record.term }, patch)) ?? live.record;
  }

  #notify({ record, n }: Live, event: Notice["event"], data: Notice["data"] = null): Promise<void> {
    const { episode_id, state, worker, term } = record;
    return this.#mailbox.broadcast({ type: "notice", episode_id, event, state, worker, term, cursor: n - 1, data });
  }

  #reply(
    { server, correlation, episode_id }: StepMail,
    result: Extract<ServerMail, { type: "reply" }>["result"],
  ): Promise<void> {
    return this.#mailbox.toServer(server, { type: "reply", correlation, episode_id, result });
  }

  async #refuse(
    mail: WorkerMail,
    code: "stale" | "conflict" | "seq_mismatch",
    detail: string,
    expected?: number,
  ): Promise<void> {
    if (mail.type !== "step") return;
    await this.#reply(mail, {
      refused: { code, detail, ...(expected === undefined ? {} : { expected_seq: expected }) },
    });
  }
}
