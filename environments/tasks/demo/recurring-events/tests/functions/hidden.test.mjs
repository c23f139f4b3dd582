import assert from "node:assert/strict";
import { clashes, occurrences } from "./schedule.js";

const refused = async (rule, from = "2024-01-01", to = "2024-12-31") => {
  try {
    await occurrences(rule, from, to);
  } catch (error) {
    return error.name === "RangeError";
  }
  return false;
};

export async function test_daily_with_step() {
  assert.deepEqual(await occurrences({ start: "2023-12-30", every: "day", step: 3 }, "2024-01-01", "2024-01-10"), [
    "2024-01-02",
    "2024-01-05",
    "2024-01-08",
  ]);
}

export async function test_nothing_before_the_start() {
  assert.deepEqual(await occurrences({ start: "2024-06-10", every: "day" }, "2024-06-01", "2024-06-11"), [
    "2024-06-10",
    "2024-06-11",
  ]);
}

export async function test_weekday_defaults_to_that_of_start() {
  assert.deepEqual(await occurrences({ start: "2024-02-29", every: "week" }, "2024-03-01", "2024-03-20"), [
    "2024-03-07",
    "2024-03-14",
  ]);
}

export async function test_weeks_begin_on_monday() {
  const rule = { start: "2024-09-01", every: "week", step: 2, weekdays: ["sun", "mon"] };
  assert.deepEqual(await occurrences(rule, "2024-09-01", "2024-09-30"), ["2024-09-01", "2024-09-09", "2024-09-15", "2024-09-23", "2024-09-29"]);
}

export async function test_weekdays_before_start_are_left_out_and_repeats_ignored() {
  const rule = { start: "2024-05-08", every: "week", weekdays: ["fri", "mon", "fri"], count: 3 };
  assert.deepEqual(await occurrences(rule, "2024-01-01", "2024-12-31"), ["2024-05-10", "2024-05-13", "2024-05-17"]);
}

export async function test_months_without_the_day_are_skipped() {
  assert.deepEqual(await occurrences({ start: "2023-10-31", every: "month" }, "2023-10-01", "2024-05-31"), [
    "2023-10-31",
    "2023-12-31",
    "2024-01-31",
    "2024-03-31",
    "2024-05-31",
  ]);
}

export async function test_month_step_counts_skipped_months() {
  assert.deepEqual(await occurrences({ start: "2023-08-30", every: "month", step: 6, count: 3 }, "2023-01-01", "2026-01-01"), [
    "2023-08-30",
    "2024-08-30",
    "2025-08-30",
  ]);
}

export async function test_leap_days() {
  assert.deepEqual(await occurrences({ start: "2020-02-29", every: "month", step: 12 }, "2020-01-01", "2028-12-31"), [
    "2020-02-29",
    "2024-02-29",
    "2028-02-29",
  ]);
}

export async function test_count_includes_dates_before_from_and_excepted_ones() {
  const rule = { start: "2024-01-01", every: "day", count: 5, except: ["2024-01-04"] };
  assert.deepEqual(await occurrences(rule, "2024-01-03", "2024-01-31"), ["2024-01-03", "2024-01-05"]);
}

export async function test_until_is_included() {
  const rule = { start: "2024-01-01", every: "week", until: "2024-01-15", count: 10 };
  assert.deepEqual(await occurrences(rule, "2024-01-01", "2024-12-31"), ["2024-01-01", "2024-01-08", "2024-01-15"]);
}

export async function test_from_after_to() {
  assert.deepEqual(await occurrences({ start: "2024-01-01", every: "day" }, "2024-02-02", "2024-02-01"), []);
}

export async function test_wrong_rules() {
  const good = { start: "2024-01-01", every: "day" };
  assert.equal(await refused(good), false);
  const wrong = [
    { ...good, every: "year" },
    { ...good, start: "2023-02-29" },
    { ...good, start: "2024-1-1" },
    { ...good, step: 0 },
    { ...good, step: 1.5 },
    { ...good, count: 0 },
    { ...good, until: "soon" },
    { ...good, except: ["2024-13-01"] },
    { ...good, every: "week", weekdays: [] },
    { ...good, every: "week", weekdays: ["Mon"] },
  ];
  for (const rule of wrong) assert.equal(await refused(rule), true, JSON.stringify(rule));
  assert.equal(await refused(good, "2024-02-30"), true);
}

export async function test_clashes() {
  const events = [
    { name: "b", rule: { start: "2024-01-01", every: "day", step: 2 } },
    { name: "a", rule: { start: "2024-01-01", every: "day", step: 3 } },
    { name: "c", rule: { start: "2024-01-07", every: "day" } },
  ];
  assert.deepEqual(await clashes(events, "2024-01-02", "2024-01-09"), [
    ["2024-01-07", ["b", "a", "c"]],
    ["2024-01-09", ["b", "c"]],
  ]);
  assert.deepEqual(await clashes([], "2024-01-02", "2024-01-09"), []);
}
