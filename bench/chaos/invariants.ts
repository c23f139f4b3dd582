import { type EpisodeRecord, JUDGED_OUTCOMES } from "../../core/episode.ts";
import { type EpisodeEvent, foldTerms } from "../../core/events.ts";
import type { StoreLog } from "./log.ts";

/**
 * The seven invariants, as a pure function of what clients were told and what the store holds. A checker that was given
 * nothing to look at throws: silence is not success.
 */

export const INVARIANTS = {
  I1: "every accepted episode reaches exactly one terminal state",
  I2: "exactly one reward record per episode, one verdict per verifier and attempt, none by a stale owner",
  I3: "an infrastructure failure is never a reward, and a reward is the true one",
  I4: "nothing that was answered is lost",
  I5: "after quiesce nothing is left on the machine",
  I6: "trajectories are gap-free, end once and replay to the same answers",
  I7: "calls that the fault does not concern stay quick, and no process ends by an error of its own",
} as const;
export type Invariant = keyof typeof INVARIANTS;

export interface Violation {
  readonly invariant: Invariant;
  /** What the figures count it as. */
  readonly kind: "lost" | "doubled" | "false_reward" | "leak" | "broken_log" | "slow" | "crash" | "wrong_answer";
  readonly episode_id: string | null;
  readonly what: string;
}

/** What a client knows of an episode that the service accepted. */
export interface Told {
  readonly id: string;
  /** The reward of an honest judge; null: any. */
  readonly expected: 0 | 1 | null;
  /** Text of the answers to its steps, by number. */
  readonly steps: ReadonlyMap<number, string>;
  /** The last answer, once the episode was said to be done. */
  readonly final: Pick<EpisodeRecord, "outcome" | "reward"> | null;
}

export interface Evidence {
  readonly told: readonly Told[];
  readonly log: StoreLog;
  /** What is left on the machine, each as a sentence. */
  readonly leaks: readonly string[];
  /** 99th percentile of calls that the fault does not concern, and its bound; null: it concerns all. */
  readonly calls: { readonly count: number; readonly p99Ms: number; readonly boundMs: number } | null;
}

export function checkInvariants({ told, log, leaks, calls }: Evidence): Violation[] {
  if (told.length === 0) throw new Error("no episode was accepted: there is nothing to check");
  if (log.events.size === 0 || log.records.size === 0) throw new Error("the store's log is empty: nothing to check");
  if (calls?.count === 0) throw new Error("no call was timed: there is nothing to check");
  const ids = new Set([...told.map(({ id }) => id), ...log.records.keys(), ...log.events.keys()]);
  const known = new Map(told.map((one) => [one.id, one]));
  const found = [...ids].flatMap((id) =>
    checkEpisode({
      id,
      told: known.get(id) ?? null,
      events: log.events.get(id) ?? [],
      record: log.records.get(id) ?? null,
    }),
  );
  for (const what of log.unreadable) found.push({ invariant: "I6", kind: "broken_log", episode_id: null, what });
  for (const what of leaks) found.push({ invariant: "I5", kind: "leak", episode_id: null, what });
  if (calls !== null && calls.p99Ms > calls.boundMs)
    found.push({
      invariant: "I7",
      kind: "slow",
      episode_id: null,
      what: `p99 of ${calls.count} calls is ${calls.p99Ms} ms, more than ${calls.boundMs}`,
    });
  return found;
}

interface Subject {
  readonly id: string;
  readonly told: Told | null;
  readonly events: readonly EpisodeEvent[];
  readonly record: EpisodeRecord | null;
}

type Found = Omit<Violation, "episode_id">;

function checkEpisode(subject: Subject): Violation[] {
  const { id, events, record } = subject;
  if (record === null)
    return [{ invariant: "I4", kind: "lost", episode_id: id, what: "accepted, but the store has no record of it" }];
  const folded = foldTerms(events);
  return [
    ...terminal(record, folded),
    ...rewardOnce(record, events, folded),
    ...rewardTrue(record, subject.told),
    ...nothingLost(folded, subject.told),
    ...wholeLog(record, folded),
  ].map((found) => ({ ...found, episode_id: id }));
}

/** I1. */
function terminal(record: EpisodeRecord, folded: readonly EpisodeEvent[]): Found[] {
  const ends = folded.filter((event) => event.type === "episode.ended");
  if (record.state !== "done")
    return [{ invariant: "I1", kind: "lost", what: `never ended: it is ${record.state} in term ${record.term}` }];
  if (ends.length === 1) return [];
  return [{ invariant: "I1", kind: ends.length === 0 ? "lost" : "doubled", what: `its log ends ${ends.length} times` }];
}

/** I2. */
function rewardOnce(record: EpisodeRecord, events: readonly EpisodeEvent[], folded: readonly EpisodeEvent[]): Found[] {
  const found: Found[] = [];
  const doubled = (what: string) => found.push({ invariant: "I2", kind: "doubled", what });
  // The end of a log may be written again under the same numbers; readers see it once.
  const written = events.filter((event) => event.type === "reward.committed");
  const commits = [...new Map(written.map((event) => [`${event.term} ${event.n} ${event.reward}`, event])).values()];
  if (commits.length > 1)
    doubled(`${commits.length} rewards were committed, in terms ${commits.map((c) => c.term).join(", ")}`);
  const stale = commits.filter(({ term }) => term !== record.term);
  if (stale.length > 0) doubled(`a reward of term ${stale[0]?.term}, while ${record.term} is its owner's`);
  const reward = folded.find((event) => event.type === "reward.committed");
  if (reward !== undefined && reward.reward !== record.reward)
    found.push({
      invariant: "I2",
      kind: "false_reward",
      what: `its log says reward ${reward.reward}, its record ${record.reward}`,
    });
  const verdicts = folded.flatMap((event) => (event.type === "verdict.recorded" ? [event.verdict] : []));
  const names = verdicts.map(({ verifier, version, attempt }) => `${verifier}@${version}#${attempt}`);
  if (new Set(names).size < names.length) doubled(`a verdict was recorded twice: ${names.join(", ")}`);
  const scored = verdicts.filter(({ status }) => status === "scored").map(({ verifier }) => verifier);
  if (new Set(scored).size < scored.length) doubled(`a verifier scored twice: ${scored.join(", ")}`);
  return found;
}

/** I3. */
function rewardTrue(record: EpisodeRecord, told: Told | null): Found[] {
  const found: Found[] = [];
  const judged = record.outcome !== null && JUDGED_OUTCOMES.has(record.outcome);
  if (record.reward !== null && !judged)
    found.push({ invariant: "I3", kind: "false_reward", what: `reward ${record.reward} for ${record.outcome}` });
  if (!judged && record.trainable === true)
    found.push({ invariant: "I3", kind: "false_reward", what: `${record.outcome} is called trainable` });
  if (told === null) return found;
  if (record.reward !== null && told.expected !== null && record.reward !== told.expected)
    found.push({
      invariant: "I3",
      kind: "false_reward",
      what: `reward ${record.reward} for an attempt that is worth ${told.expected}`,
    });
  if (told.final !== null && (told.final.reward !== record.reward || told.final.outcome !== record.outcome))
    found.push({
      invariant: "I3",
      kind: "false_reward",
      what: `told ${told.final.outcome} ${told.final.reward}, recorded ${record.outcome} ${record.reward}`,
    });
  return found;
}

/** I4. */
function nothingLost(folded: readonly EpisodeEvent[], told: Told | null): Found[] {
  const observed = new Map<number, string>();
  for (const event of folded)
    if (event.type === "step.observed")
      observed.set(event.seq, String(event.observations[0]?.messages[0]?.content ?? ""));
  const found: Found[] = [];
  for (const [seq, text] of told?.steps ?? []) {
    const logged = observed.get(seq);
    if (logged === undefined)
      found.push({ invariant: "I4", kind: "lost", what: `step ${seq} was answered and is not in the log` });
    else if (logged !== text)
      found.push({ invariant: "I4", kind: "wrong_answer", what: `step ${seq} was answered ${text}, logged ${logged}` });
  }
  return found;
}

/** I6. */
function wholeLog(record: EpisodeRecord, folded: readonly EpisodeEvent[]): Found[] {
  const found: Found[] = [];
  const broken = (what: string) => found.push({ invariant: "I6", kind: "broken_log", what });
  const gap = folded.findIndex((event, i) => event.n !== i);
  if (gap !== -1) broken(`event ${gap} is missing`);
  if (folded[0]?.type !== "episode.created") broken("it does not begin with episode.created");
  const ended = folded.findIndex((event) => event.type === "episode.ended");
  if (ended !== -1 && ended !== folded.length - 1) broken(`${folded.length - 1 - ended} events come after its end`);
  const accepted = folded.filter((event) => event.type === "step.accepted").map(({ seq }) => seq);
  const observed = folded.filter((event) => event.type === "step.observed").map(({ seq }) => seq);
  if (accepted.some((seq, i) => seq !== i + 1)) broken(`steps ${accepted.join(", ")} were accepted`);
  if (observed.some((seq, i) => seq !== i + 1)) broken(`steps ${observed.join(", ")} were answered`);
  const judged = record.outcome !== null && JUDGED_OUTCOMES.has(record.outcome);
  if (judged && observed.length < accepted.length) broken("a step was accepted and never answered");
  for (const event of folded)
    if (event.type === "episode.recovered" && event.replay_mismatch) broken("a replay answered differently");
  return found;
}
