import { expect, test } from "vitest";
import { DEFAULT_EPISODE_LIMITS, EpisodeRecord } from "../../core/episode.ts";
import { EpisodeEvent, type EventBody } from "../../core/events.ts";
import { sha256 } from "../../core/ids.ts";
import { newEpisodeRecord } from "../../core/new-episode.ts";
import { checkInvariants, type Evidence, type Told } from "./invariants.ts";

/** A checker is only worth something when it finds what is wrong: each test breaks a good log in one way. */

const ID = "ep_checked";
const environment = {
  task_id: "demo/leap-year",
  task_version: sha256("task"),
  framework: "some.framework",
  framework_version: "1",
  framework_profile: sha256("profile"),
  framework_config: {},
  verifiers: [{ id: "tests", version: "1", role: "train" }],
  split: "train",
};
const verdict = {
  verifier: "tests",
  version: "1",
  role: "train",
  attempt: 1,
  status: "scored",
  score: 1,
  checks: [],
  flags: [],
  detail: {},
  seed: 1,
  submission: sha256("submission"),
  base: "base",
  duration_ms: 1,
};
const observation = {
  conversation: "main",
  parent: null,
  next_seq: 2,
  mode: "append",
  messages: [{ role: "tool", tool_call_id: "c", content: "1" }],
  done: false,
};
const observed = { conversation: "main", seq: 1, tool_ms: 1, own_ms: 1, steps: 1, wall_used_ms: 2, stop_reason: null };
const reward = { type: "reward.committed", reward: 1, reward_status: "final", trainable: true };
const end = { type: "episode.ended", stop_reason: "submitted", outcome: "ok", failure: null };
const BODIES = [
  { type: "episode.created", environment, limits: DEFAULT_EPISODE_LIMITS, seed: 1 },
  { type: "term.granted", worker: "worker_a", from_n: 1 },
  { type: "step.accepted", conversation: "main", seq: 1, action: { text: "go" }, body_digest: sha256("step") },
  { type: "step.observed", ...observed, observations: [observation] },
  { type: "verdict.recorded", verdict },
  reward,
  end,
] as unknown as EventBody[]; // parsed below

const logOf = (bodies: readonly object[]): EpisodeEvent[] =>
  bodies.map((body, n) =>
    EpisodeEvent.parse({ v: 1, episode_id: ID, n, term: n === 0 ? 0 : 1, at: 1_000 + n, ...body }),
  );

const record = (over: Partial<EpisodeRecord> = {}): EpisodeRecord => ({
  ...newEpisodeRecord({
    episodeId: EpisodeRecord.shape.episode_id.parse(ID),
    owner: "tok",
    environment: EpisodeRecord.shape.environment.parse(environment),
    secret: "secret",
    now: 1_000,
  }),
  state: "done",
  term: 1,
  outcome: "ok",
  stop_reason: "submitted",
  reward: 1,
  reward_status: "final",
  trainable: true,
  ...over,
});

const TOLD: Told = { id: ID, expected: 1, steps: new Map([[1, "1"]]), final: { outcome: "ok", reward: 1 } };

interface Broken {
  readonly bodies?: readonly object[];
  readonly over?: Partial<EpisodeRecord>;
  readonly told?: Partial<Told>;
}

const evidence = ({ bodies = BODIES, over = {}, told = {} }: Broken = {}): Evidence => ({
  told: [{ ...TOLD, ...told }],
  log: { events: new Map([[ID, logOf(bodies)]]), records: new Map([[ID, record(over)]]), unreadable: [] },
  leaks: [],
  calls: null,
});

const kindsIn = (broken: Broken): string[] => [
  ...new Set(checkInvariants(evidence(broken)).map(({ invariant, kind }) => `${invariant} ${kind}`)),
];

test("finds nothing in a good log", () => {
  expect(checkInvariants(evidence())).toEqual([]);
});

test("refuses to look at nothing", () => {
  expect(() => checkInvariants({ ...evidence(), told: [] })).toThrow(/no episode was accepted/);
  const log = { events: new Map(), records: new Map(), unreadable: [] };
  expect(() => checkInvariants({ ...evidence(), log })).toThrow(/log is empty/);
  const calls = { count: 0, p99Ms: Number.NaN, boundMs: 1 };
  expect(() => checkInvariants({ ...evidence(), calls })).toThrow(/no call was timed/);
});

test("finds an episode that was accepted and is not in the store", () => {
  const told = [TOLD, { ...TOLD, id: "ep_other" }];
  expect(checkInvariants({ ...evidence(), told })).toMatchObject([{ kind: "lost", episode_id: "ep_other" }]);
});

test("finds an episode that never ended, by its record and by its log", () => {
  expect(kindsIn({ over: { state: "ready", outcome: null, reward: null }, told: { final: null } })).toContain(
    "I1 lost",
  );
  expect(kindsIn({ bodies: BODIES.slice(0, -1) })).toEqual(["I1 lost"]);
});

test("finds a second end and a second reward", () => {
  expect(kindsIn({ bodies: [...BODIES, end] })).toContain("I1 doubled");
  expect(kindsIn({ bodies: [...BODIES.slice(0, -1), reward, end] })).toContain("I2 doubled");
});

test("finds a verifier that scored twice", () => {
  const again = { type: "verdict.recorded", verdict: { ...verdict, attempt: 2 } };
  expect(kindsIn({ bodies: [...BODIES.slice(0, 5), again, reward, end] })).toEqual(["I2 doubled"]);
});

test("finds a reward of a stale owner", () => {
  expect(kindsIn({ over: { term: 2 } })).toEqual(["I2 doubled"]);
});

test("finds a reward that is not the one in the log, not the one that was told, and not the true one", () => {
  expect(kindsIn({ over: { reward: 0 }, told: { expected: 0, final: { outcome: "ok", reward: 0 } } })).toEqual([
    "I2 false_reward",
  ]);
  expect(kindsIn({ told: { final: { outcome: "ok", reward: 0 } } })).toEqual(["I3 false_reward"]);
  expect(kindsIn({ told: { expected: 0 } })).toEqual(["I3 false_reward"]);
});

test("finds a failure of ours that was given a reward, or was called trainable", () => {
  const over = { outcome: "infra_error", stop_reason: "sandbox_lost" } as const;
  expect(kindsIn({ over, told: { final: { outcome: "infra_error", reward: 1 } } })).toEqual(["I3 false_reward"]);
});

test("finds an answered step that is not in the log, and one that was answered otherwise", () => {
  expect(kindsIn({ told: { steps: new Map([[2, "2"]]) } })).toEqual(["I4 lost"]);
  expect(kindsIn({ told: { steps: new Map([[1, "one"]]) } })).toEqual(["I4 wrong_answer"]);
});

test("finds a gap, a log without its beginning, events behind the end, an unanswered step, a replay that differs", () => {
  const whole = evidence();
  const events = logOf(BODIES).filter(({ n }) => n !== 3);
  const log = { ...whole.log, events: new Map([[ID, events]]) };
  expect(checkInvariants({ ...whole, log }).map(({ what }) => what)).toContain("event 3 is missing");
  expect(kindsIn({ bodies: BODIES.slice(1) })).toContain("I6 broken_log");
  expect(kindsIn({ bodies: [...BODIES, BODIES[1] ?? {}] })).toContain("I6 broken_log");
  expect(kindsIn({ bodies: BODIES.filter((_, i) => i !== 3), told: { steps: new Map() } })).toEqual(["I6 broken_log"]);
  const recovered = { type: "episode.recovered", from: "base", replayed_steps: 1, replay_mismatch: true };
  expect(kindsIn({ bodies: [...BODIES.slice(0, 4), recovered, ...BODIES.slice(4)] })).toEqual(["I6 broken_log"]);
});

test("finds what is left on the machine, a torn line, and slow calls", () => {
  const calls = { count: 10, p99Ms: 3_000, boundMs: 2_000 };
  const log = { ...evidence().log, unreadable: ["a: torn"] };
  const found = checkInvariants({ ...evidence(), log, leaks: ["process 7"], calls });
  expect(found.map(({ invariant, kind }) => `${invariant} ${kind}`)).toEqual(["I6 broken_log", "I5 leak", "I7 slow"]);
});
