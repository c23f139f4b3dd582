import { expect, test } from "vitest";
import { compareOutput } from "./compare-output.ts";

test("tokens ignore blanks and compare counts first", () => {
  expect(compareOutput("1  2\n3", "1 2 3\n", "tokens")).toBeNull();
  expect(compareOutput("1 2 3 4", "1 2 3", "tokens")).toBe("4 tokens where 3 are due");
  expect(compareOutput("", "1", "tokens")).toBe("0 tokens where 1 are due");
  expect(compareOutput("1 2 4", "1 2 3", "tokens")).toBe("token 3 is wrong");
});

test("a no-break space is part of a token", () => {
  expect(compareOutput("a\u00a0b", "a b", "tokens")).toBe("1 tokens where 2 are due");
});

test("exact forgives one final newline only", () => {
  expect(compareOutput("a\nb", "a\nb\n", "exact")).toBeNull();
  expect(compareOutput("a\nb\n\n", "a\nb", "exact")).toBe("line 3 is wrong");
  expect(compareOutput("a \nb", "a\nb", "exact")).toBe("line 1 is wrong");
  expect(compareOutput("a\nb\nc", "a\nb", "exact")).toBe("line 3 is wrong");
});
