import { expect, test } from "vitest";
import type { EpisodeEvent, EventBody } from "../../core/events.ts";
import { EpisodeId, sha256 } from "../../core/ids.ts";
import type { Observation } from "../../core/messages.ts";
import { historyOf, sameAnswer } from "./history.ts";

const digest = sha256("x");
const log = (...bodies: EventBody[]): EpisodeEvent[] =>
  bodies.map((body, n) => ({ v: 1, episode_id: EpisodeId.parse("ep_1"), n, term: 1, at: 0, ...body }) as EpisodeEvent); // head and body together are the event
const opening: Observation = {
  conversation: "main",
  parent: null,
  next_seq: 1,
  mode: "append",
  messages: [],
  done: false,
};
const opened: EventBody = { type: "framework.opened", observation: opening };
const accepted = (seq: number): EventBody => ({
  type: "step.accepted",
  conversation: "main",
  seq,
  action: { text: `${seq}` },
  body_digest: digest,
});
const observed = (seq: number, stop: "submitted" | null = null): EventBody => ({
  type: "step.observed",
  conversation: "main",
  seq,
  observations: [{ ...opening, next_seq: seq + 1 }],
  tool_ms: 1,
  own_ms: 1,
  steps: seq,
  wall_used_ms: seq * 10,
  stop_reason: stop,
  workspace_view: digest,
});
const parked = (steps: number, lost = 1): EventBody => ({
  type: "episode.parked",
  snapshot: digest,
  framework_state: { cwd: "/" },
  steps,
  wall_used_ms: 0,
  processes_lost: lost,
  commands_lost: ["sleep"],
  workspace: digest,
});

test("an episode without events has nothing behind it", () => {
  expect(historyOf([])).toMatchObject({
    opened: false,
    saved: null,
    replay: [],
    unanswered: null,
    nextSeq: 1,
    steps: 0,
  });
});

test("replays every answered step from the base when it was never parked", () => {
  const history = historyOf(log(opened, accepted(1), observed(1), accepted(2), observed(2)));
  expect(history.replay.map((step) => step.accepted.seq)).toEqual([1, 2]);
  expect(history).toMatchObject({ opened: true, nextSeq: 3, steps: 2, wallUsedMs: 20, unanswered: null });
});

test("replays only what came after it was parked last", () => {
  const history = historyOf(log(opened, accepted(1), observed(1), parked(1), accepted(2), observed(2)));
  expect(history.saved).toEqual({ snapshot: digest, frameworkState: { cwd: "/" } });
  expect(history.replay.map((step) => step.accepted.seq)).toEqual([2]);
});

test("replays only what came after the step that was saved last, though the save was written later", () => {
  const saved: EventBody = { type: "episode.saved", snapshot: digest, workspace: digest, framework_state: {}, seq: 1 };
  const history = historyOf(log(opened, accepted(1), observed(1), accepted(2), saved, observed(2), accepted(3)));
  expect(history.replay.map((step) => step.accepted.seq)).toEqual([2]);
  expect(history.unanswered?.seq).toBe(3);
  expect(history.replay[0]?.observed?.workspace_view).toBe(digest);
  expect(history.workspaceView).toBeNull();
});

test("does not claim to know the files of a workspace whose programs wrote on until it was parked", () => {
  expect(historyOf(log(opened, accepted(1), observed(1), parked(1))).workspaceView).toBeNull();
  expect(historyOf(log(opened, accepted(1), observed(1), parked(1, 0))).workspaceView).toBe(digest);
});

test("programs that ended when it was parked are told once, with the next observation", () => {
  const lost = { processes_lost: 1, commands_lost: ["sleep"] };
  expect(historyOf(log(opened, accepted(1), observed(1), parked(1))).lost).toEqual(lost);
  expect(historyOf(log(opened, accepted(1), observed(1), parked(1), accepted(2))).lost).toEqual(lost);
  expect(historyOf(log(opened, accepted(1), observed(1), parked(1), accepted(2), observed(2))).lost).toBeNull();
});

test("a step that was accepted and not answered is due now", () => {
  const history = historyOf(log(opened, accepted(1), observed(1), accepted(2)));
  expect(history.unanswered?.seq).toBe(2);
  expect(history.nextSeq).toBe(2);
});

test("an end that was not handed over is due now", () => {
  expect(historyOf(log(opened, accepted(1), observed(1, "submitted"))).stop).toBe("submitted");
});

test("a frozen submission needs its verifiers only", () => {
  const frozen: EventBody = {
    type: "submission.frozen",
    submission: digest,
    manifest: [],
    refused: [],
    stop_reason: "submitted",
  };
  expect(historyOf(log(opened, accepted(1), observed(1, "submitted"), frozen)).frozen).toEqual({
    submission: digest,
    stop: "submitted",
  });
});

test("answers are the same when only digits differ", () => {
  const said = (content: string) => [{ role: "user" as const, content }];
  expect(sameAnswer(said("3 passed in 0.02s"), said("3 passed in 0.11s"))).toBe(true);
  expect(sameAnswer(said("3 passed"), said("3 failed"))).toBe(false);
});
