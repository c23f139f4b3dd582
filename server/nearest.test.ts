import { expect, test } from "vitest";
import { nearest } from "./nearest.ts";

test("finds the name with the fewest edits", () => {
  expect(nearest("demo/bnak", ["demo/rank", "demo/bank"])).toBe("demo/bank");
});

test("finds nothing where nothing is near", () => {
  expect(nearest("tests", ["differential", "stdio"])).toBeNull();
});
