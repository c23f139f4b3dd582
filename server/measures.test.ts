import { expect, test } from "vitest";
import { sampleVerdict } from "../test/contract/store-samples.ts";
import { disagreements } from "./measures.ts";

test("verifiers disagree by their last scores; what was not scored or is sealed does not count", () => {
  const verdicts = [
    sampleVerdict({ verifier: "tests", score: 0 }),
    sampleVerdict({ verifier: "tests", score: 1, attempt: 2 }),
    sampleVerdict({ verifier: "stdio", role: "shadow", score: 0 }),
    sampleVerdict({ verifier: "differential", score: 1 }),
    sampleVerdict({ verifier: "broken", status: "error", score: null }),
    sampleVerdict({ verifier: "held-out", role: "sealed", score: 0 }),
  ];
  expect(disagreements(verdicts)).toEqual([
    { a: "differential", b: "stdio" },
    { a: "stdio", b: "tests" },
  ]);
  expect(disagreements([])).toEqual([]);
});
