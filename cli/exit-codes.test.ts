import { expect, test } from "vitest";
import { EXIT } from "./exit-codes.ts";

test("exit codes are pinned: scripts depend on them", () => {
  expect(EXIT).toEqual({
    done: 0,
    failed: 1,
    usage: 2,
    unreachable: 3,
    notAllowed: 4,
    infra: 5,
    cancelled: 6,
    nothingMatched: 7,
    lacking: 69,
    interrupted: 130,
  });
});
