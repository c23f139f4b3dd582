import { expect, test } from "vitest";
import { table } from "./terminal.ts";

test("columns are as wide as their widest cell, colours not counted", () => {
  expect(
    table([
      ["a", "bb", "c"],
      ["\x1b[32mlong\x1b[39m", "b", "c"],
    ]),
  ).toEqual(["a     bb  c", "\x1b[32mlong\x1b[39m  b   c"]);
  expect(table([["trailing", ""]])).toEqual(["trailing"]);
  expect(table([])).toEqual([]);
});
