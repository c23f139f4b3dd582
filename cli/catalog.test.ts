import { expect, test } from "vitest";
import { globs } from "./catalog.ts";

test("a list of globs matches whole names only", () => {
  const wanted = globs("mini-swe.*, aider.diff");
  expect(["mini-swe.toolcall", "aider.diff", "aider.diff2", "xmini-swe.a", "aiderxdiff"].filter(wanted)).toEqual([
    "mini-swe.toolcall",
    "aider.diff",
  ]);
  expect(["a/b", "anything"].every(globs("*"))).toBe(true);
});
