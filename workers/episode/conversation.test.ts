import { expect, test } from "vitest";
import { EpisodeId } from "../../core/ids.ts";
import type { StepObserved } from "../../core/mail.ts";
import { bodyDigest, Conversation, type StepMail } from "./conversation.ts";

const mail = (seq: number, text = "a", correlation = `k${seq}`): StepMail => ({
  type: "step",
  episode_id: EpisodeId.parse("ep_1"),
  term: 1,
  server: "s",
  correlation,
  conversation: "main",
  seq,
  action: { text },
});
const observed = (seq: number): StepObserved => ({
  conversation: "main",
  seq,
  observations: [],
  tool_ms: 0,
  own_ms: 0,
  steps: seq,
  wall_used_ms: 0,
  stop_reason: null,
  state: "ready",
});
const admit = (conversation: Conversation, letter: StepMail) => conversation.admit(letter, bodyDigest(letter));

test("runs the step that is due and answers everybody who asked for it", () => {
  const conversation = new Conversation();
  expect(admit(conversation, mail(1))).toEqual({ status: "run" });
  expect(admit(conversation, mail(1, "a", "again"))).toEqual({ status: "join" });
  expect(conversation.settle(observed(1)).map((asker) => asker.correlation)).toEqual(["k1", "again"]);
  expect(conversation.nextSeq).toBe(2);
});

test("gives the stored answer to the same step sent again", () => {
  const conversation = new Conversation();
  admit(conversation, mail(1));
  conversation.settle(observed(1));
  expect(admit(conversation, mail(1))).toEqual({ status: "answered", observed: observed(1) });
});

test("refuses another body under a used number", () => {
  const conversation = new Conversation();
  admit(conversation, mail(1));
  expect(admit(conversation, mail(1, "b"))).toMatchObject({ status: "refused", refusal: { code: "conflict" } });
  conversation.settle(observed(1));
  expect(admit(conversation, mail(1, "b"))).toMatchObject({ status: "refused", refusal: { code: "conflict" } });
});

test("refuses a gap and names the number that is due", () => {
  const conversation = new Conversation();
  expect(admit(conversation, mail(3))).toMatchObject({
    status: "refused",
    refusal: { code: "seq_mismatch", expected_seq: 1 },
  });
  admit(conversation, mail(1));
  expect(admit(conversation, mail(2))).toMatchObject({
    status: "refused",
    refusal: { code: "seq_mismatch", expected_seq: 1 },
  });
});

test("leaves old answers to the store", () => {
  const conversation = new Conversation();
  for (let seq = 1; seq <= 20; seq++) {
    admit(conversation, mail(seq));
    conversation.settle(observed(seq));
  }
  expect(admit(conversation, mail(1))).toMatchObject({ status: "refused", refusal: { code: "stale" } });
  expect(admit(conversation, mail(20))).toMatchObject({ status: "answered" });
});

test("counts on from an earlier owner", () => {
  const conversation = new Conversation();
  conversation.startAt(7);
  expect(admit(conversation, mail(7))).toEqual({ status: "run" });
});
