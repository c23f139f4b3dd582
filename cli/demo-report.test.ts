import { expect, test } from "vitest";
import type { EpisodeAnswer } from "../core/api.ts";
import type { MatrixRow } from "./catalog.ts";
import { cellState, demoReport, isAsExpected } from "./demo-report.ts";
import type { FinishedRollout, Rollout } from "./rollouts.ts";

const row = (framework: string, status: MatrixRow["status"] = "ok"): MatrixRow => ({
  task_id: "demo/a",
  framework,
  verifiers: ["stdio", "tests"],
  status,
  reason: null,
});
const scored = (verifier: string, score: number) => ({
  verifier,
  version: "1",
  role: "train" as const,
  status: "scored" as const,
  score,
  detail: {},
});
const finished = (
  script: Rollout["script"],
  reward: number | null,
  scores: readonly [number, number],
): FinishedRollout => ({
  rollout: { task: "demo/a", framework: "f", script },
  answer: {
    reward,
    outcome: reward === null ? "infra_error" : "ok",
    verdicts: [scored("stdio", scores[0]), scored("tests", scores[1])],
  } as unknown as EpisodeAnswer,
});
const good = [finished("gold", 1, [1, 1]), finished("nothing", 0, [0, 0]), finished("cheat", 0, [0, 1])];
const report = (of: readonly FinishedRollout[], sandboxesLeft = 0) =>
  demoReport({ rows: [row("f"), row("g", "unavailable")], finished: of, sandboxesLeft, wallMs: 1_234 });

test("counts what is served and what each policy earned", () => {
  expect(report(good)).toEqual({
    tasks: 1,
    frameworks: 1,
    verifiers: 2,
    cells: 2,
    gold: { episodes: 1, passed: 1 },
    nothing: { episodes: 1, passed: 0 },
    cheat: { episodes: 1, passed: 0 },
    masked: 0,
    sandboxes_left: 0,
    wall_s: 1.2,
  });
  expect(isAsExpected(report(good))).toBe(true);
});

const wrong: readonly [string, readonly FinishedRollout[], number][] = [
  ["gold fails one verifier that is not counted in the reward", [finished("gold", 1, [1, 0]), ...good.slice(1)], 0],
  [
    "doing nothing is rewarded",
    [good[0] ?? finished("gold", 1, [1, 1]), finished("nothing", 1, [1, 1]), finished("cheat", 0, [0, 0])],
    0,
  ],
  ["a cheat is rewarded", [...good, finished("cheat", 1, [1, 1])], 0],
  ["an episode has no reward", [...good, finished("gold", null, [0, 0])], 0],
  ["a sandbox is left", good, 1],
  ["no cheat ran", good.slice(0, 2), 0],
  ["nothing ran", [], 0],
];

test.each(wrong)("is not as expected when %s", (_what, of, sandboxesLeft) => {
  expect(isAsExpected(report(of, sandboxesLeft))).toBe(false);
});

test("a cell says what its own verifier said of gold", () => {
  expect(cellState(row("f"), "tests", good)).toBe("right");
  expect(cellState(row("f"), "stdio", [finished("gold", 0, [0, 1]), ...good.slice(1)])).toBe("wrong");
  expect(cellState(row("f"), "tests", [...good, finished("cheat", 1, [1, 1])])).toBe("wrong");
  expect(cellState(row("f"), "tests", [...good, finished("cheat", null, [0, 0])])).toBe("masked");
  expect(cellState(row("f"), "differential", good)).toBe("absent");
  expect(cellState(row("f", "unavailable"), "tests", good)).toBe("absent");
  expect(cellState(row("f"), "tests", [])).toBe("wrong");
});
