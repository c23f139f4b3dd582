import assert from "node:assert/strict";
import { clashes, occurrences } from "./schedule.js";

assert.deepEqual(occurrences({ start: "2024-02-27", every: "day" }, "2024-02-28", "2024-03-01"), [
  "2024-02-28",
  "2024-02-29",
  "2024-03-01",
]);
assert.deepEqual(
  occurrences({ start: "2024-05-01", every: "week", step: 2, weekdays: ["mon", "fri"] }, "2024-05-01", "2024-05-31"),
  ["2024-05-03", "2024-05-13", "2024-05-17", "2024-05-27", "2024-05-31"],
);
assert.deepEqual(
  clashes(
    [
      { name: "rent", rule: { start: "2024-01-01", every: "month" } },
      { name: "choir", rule: { start: "2024-01-01", every: "week" } },
    ],
    "2024-01-01",
    "2024-04-30",
  ),
  [
    ["2024-01-01", ["rent", "choir"]],
    ["2024-04-01", ["rent", "choir"]],
  ],
);
console.log("all examples pass");
