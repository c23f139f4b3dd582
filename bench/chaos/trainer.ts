import { setTimeout as delay } from "node:timers/promises";
import type { EpisodeAnswer } from "../../core/api.ts";
import type { Problem } from "../../core/errors.ts";
import { bashStep } from "../actions.ts";
import type { Dice } from "./dice.ts";
import type { Told } from "./invariants.ts";
import type { Call, Wire } from "./wire.ts";

/** Clients that do what the contract says: the same call again, same number, same body, until it is answered. */

/** Between two tries, beside what the server asks for. */
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1_000;
/** Every step leaves a line in it: a step that was run twice, or not at all, shows in the next answer. */
const STEPS_FILE = "/workspace/.steps";

export interface Plan {
  readonly id: string;
  readonly task: string;
  readonly framework: string;
  readonly run: string;
  /** The gym drives it by a script, or a trainer does by steps. */
  readonly driver: "gold" | "nothing" | "trainer";
  /** Only of a trainer: whether it writes the solution in its last step. */
  readonly solves: boolean;
  readonly steps: number;
  /** Seconds that each command sleeps. */
  readonly pauseS: number;
  /** A share of the calls is sent twice at once. */
  readonly twice: number;
  readonly fields?: Record<string, unknown>;
}

/** What became of a plan, as its client saw it. */
export interface Played {
  readonly plan: Plan;
  /** Null: the service never took it. */
  readonly told: Told | null;
  /** Problems that a correct client must not meet, each as a sentence. */
  readonly refusals: readonly string[];
  /** The client gave up waiting. */
  readonly unanswered: boolean;
}

export interface PlayOptions {
  readonly wire: Wire;
  readonly dice: Dice;
  /** Text of the solution's only file. */
  readonly solution: string;
  /** performance.now() until which it keeps trying. */
  readonly deadline: number;
}

export const expectedOf = ({ driver, solves }: Plan): 0 | 1 =>
  driver === "gold" || (driver === "trainer" && solves) ? 1 : 0;

/** Plays one episode to its end. */
export async function play(plan: Plan, options: PlayOptions): Promise<Played> {
  const client = new Client(plan, options);
  const steps = new Map<number, string>();
  const body = { episode_id: plan.id, task_id: plan.task, framework: plan.framework, run: plan.run, ...plan.fields };
  const made =
    plan.driver === "trainer"
      ? await client.until({ op: "create", body }, ({ state }) => state !== "queued" && state !== "booting")
      : await client.until({ op: "rollout", body: { ...body, policy: { script: plan.driver } } }, isDone);
  if (made === null) return client.played(null);
  let last: EpisodeAnswer | null = made;
  if (plan.driver === "trainer") {
    for (let seq = 1; seq <= plan.steps && last !== null && !isDone(last); seq++) {
      const answered: EpisodeAnswer | null = await client.until(stepCall(plan, seq, options.solution), answers(seq));
      if (answered !== null && answered.answers?.seq === seq) {
        const said = String(answered.observations[0]?.messages[0]?.content ?? "");
        steps.set(seq, said);
        // A limit that cuts a command off ends the episode with it.
        const cut = answered.stop_reason !== null;
        if (said !== String(seq) && !cut)
          client.refusals.push(`step ${seq} answered ${JSON.stringify(said.slice(0, 200))}`);
      }
      last = answered;
    }
    if (last !== null && !isDone(last)) {
      const finish = { op: "finish", id: plan.id, body: { seq: plan.steps + 1, reason: "submitted" } } as const;
      last = await client.until(finish, isDone);
    }
  }
  const final = last !== null && isDone(last) ? { outcome: last.outcome, reward: last.reward } : null;
  return client.played({ id: plan.id, expected: expectedOf(plan), steps, final });
}

const isDone = ({ state }: EpisodeAnswer): boolean => state === "done";
/** Answered: by its number, or by the end of the episode. */
const answers =
  (seq: number) =>
  (answer: EpisodeAnswer): boolean =>
    isDone(answer) || (answer.answers?.seq === seq && answer.state !== "running");

function stepCall(plan: Plan, seq: number, solution: string): Call {
  const solve = plan.solves && seq === plan.steps ? `cat > /workspace/solution.py <<'END'\n${solution}\nEND\n` : "";
  const pause = plan.pauseS > 0 ? `sleep ${plan.pauseS}; ` : "";
  const command = `${solve}${pause}echo ${seq} >> ${STEPS_FILE}; wc -l < ${STEPS_FILE}`;
  return { op: "step", id: plan.id, body: { seq, action: bashStep(command) } };
}

class Client {
  readonly refusals: string[] = [];
  readonly #plan: Plan;
  readonly #options: PlayOptions;
  #unanswered = false;
  #accepted = false;

  constructor(plan: Plan, options: PlayOptions) {
    this.#plan = plan;
    this.#options = options;
  }

  played(told: Told | null): Played {
    const known = told ?? (this.#accepted ? this.#nothingTold() : null);
    return { plan: this.#plan, told: known, refusals: this.refusals, unanswered: this.#unanswered };
  }

  #nothingTold(): Told {
    return { id: this.#plan.id, expected: expectedOf(this.#plan), steps: new Map(), final: null };
  }

  /** Sends the call until an answer is `settled`. Null: refused for good, or not answered in time. */
  async until(call: Call, settled: (answer: EpisodeAnswer) => boolean): Promise<EpisodeAnswer | null> {
    const { dice, deadline, wire } = this.#options;
    for (let pause = FIRST_PAUSE_MS; performance.now() < deadline; ) {
      try {
        const sent = wire.send(call);
        if (dice.chance(this.#plan.twice)) wire.send(call).catch(() => undefined); // the first tells
        const said = await sent;
        if (said.status === "answer") {
          this.#accepted = true;
          if (settled(said.answer)) return said.answer;
          pause = FIRST_PAUSE_MS;
        } else if (!this.#mayRetry(call, said.problem)) return null;
        else pause = Math.max(pause, (said.problem.retry_after_s ?? 0) * 1_000);
      } catch {
        // A lost connection: the same call again.
      }
      await delay(pause / 2 + dice.below(pause));
      pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
    }
    this.#unanswered = true;
    return null;
  }

  #mayRetry(call: Call, problem: Problem): boolean {
    if (problem.retryable) {
      // 500 promises nothing that 503 does not, but it is a defect of the service.
      if (problem.code === "internal") this.refusals.push(`${call.op}: ${problem.code} ${problem.detail}`);
      return true;
    }
    this.refusals.push(`${call.op}: ${problem.code} ${problem.detail}`);
    return false;
  }
}
