import { expect, test } from "vitest";
import { mustFail, type PlannedRun, planRuns, type RunRecord, weighRuns } from "./canaries.ts";

const ids = ["t.py::a", "t.py::b", "t.py::c"];
const runs = planRuns(11, ids, new Set(ids));

/** What an honest run shows when the bodies in `broken` raise. */
function honest(plan: readonly PlannedRun[], broken: readonly string[] = []): Map<string, RunRecord> {
  return new Map(
    plan.map(({ name, id, kind }) => {
      const raised = kind.startsWith("spoilt") || broken.includes(id);
      return [name, recordOf(raised, mustFail(kind, raised))];
    }),
  );
}

const recordOf = (raised: boolean, failed: boolean): RunRecord => ({
  raised,
  reports: [
    { when: "setup", outcome: "passed" },
    { when: "call", outcome: failed ? "failed" : "passed" },
    { when: "teardown", outcome: "passed" },
  ],
});

const statuses = (records: ReadonlyMap<string, RunRecord>) =>
  weighRuns(runs, records).checks.map(({ status }) => status);

test("every test has a twin and calibrations, under names that differ by seed and say nothing", () => {
  expect(runs.map(({ kind }) => kind).toSorted()).toEqual(
    planRuns(11, ids, new Set(ids))
      .map(({ kind }) => kind)
      .toSorted(),
  );
  for (const id of ids) expect(runs.filter((run) => run.id === id).length).toBe(5);
  expect(new Set(runs.map(({ name }) => name)).size).toBe(runs.length);
  const others = planRuns(12, ids, new Set(ids)).map(({ name }) => name);
  expect(runs.some(({ name }) => others.includes(name))).toBe(false);
});

test("an honest run is not forged, whether its tests pass or fail", () => {
  expect(weighRuns(runs, honest(runs))).toMatchObject({ forged: [] });
  expect(statuses(honest(runs))).toEqual(["passed", "passed", "passed"]);
  expect(weighRuns(runs, honest(runs, ["t.py::b"])).forged).toEqual([]);
  expect(statuses(honest(runs, ["t.py::b"]))).toEqual(["passed", "failed", "passed"]);
});

test("reports that all say passed are forged", () => {
  const all = new Map([...honest(runs, ids)].map(([name, { raised }]) => [name, recordOf(raised ?? false, false)]));
  expect(weighRuns(runs, all).forged.length).toBeGreaterThan(0);
});

test("reports turned round are forged by the calibrations", () => {
  const turned = new Map(
    [...honest(runs, ids)].map(([name, { raised, reports }]) => [
      name,
      recordOf(raised ?? false, reports[1]?.outcome === "passed"),
    ]),
  );
  expect(weighRuns(runs, turned).forged.length).toBeGreaterThan(0);
});

test("an assertion that cannot hold and holds is forged", () => {
  const swallowed = new Map(runs.map(({ name, kind }) => [name, recordOf(false, mustFail(kind, false))]));
  expect(weighRuns(runs, swallowed).forged.some((sign) => sign.includes("cannot hold"))).toBe(true);
});

test("a missing run is forged, a broken fixture is not", () => {
  const missing = honest(runs);
  missing.delete(runs.find(({ kind }) => kind === "twin")?.name ?? "");
  expect(weighRuns(runs, missing).forged).toHaveLength(1);
  const broken = new Map(
    runs.map(({ name }) => [
      name,
      {
        raised: null,
        reports: [
          { when: "setup", outcome: "failed" },
          { when: "teardown", outcome: "passed" },
        ],
      },
    ]),
  );
  expect(weighRuns(runs, broken)).toMatchObject({ forged: [], checks: ids.map((id) => ({ id, status: "error" })) });
});
