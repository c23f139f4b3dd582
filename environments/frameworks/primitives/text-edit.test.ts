import { expect, test } from "vitest";
import {
  expandTabs,
  insertLines,
  linesWith,
  numbered,
  occurrences,
  replaceOnce,
  universalNewlines,
} from "./text-edit.ts";

test("tabs go to the next column that 8 divides", () => {
  expect(expandTabs("\ta\n12345678\tb\nab\tc")).toBe("        a\n12345678        b\nab      c");
});

test("every kind of line end becomes a line feed", () => {
  expect(universalNewlines("a\r\nb\rc\n")).toBe("a\nb\nc\n");
});

test("an empty text occurs around every character", () => {
  expect(occurrences("", "")).toBe(1);
  expect(occurrences("ab", "")).toBe(3);
  expect(occurrences("aXbX", "X")).toBe(2);
  expect(linesWith("x\ny\nxx", "x")).toEqual([1, 3]);
});

test("numbers lines in six columns and a tab", () => {
  expect(numbered("a\nb", 9)).toBe("     9\ta\n    10\tb");
});

test("a replacement shows four lines around it", () => {
  const text = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"].join("\n");
  const edited = replaceOnce(text, "6", "six\nseven", 4);
  expect(edited.text).toContain("5\nsix\nseven\n7");
  expect(edited.snippet.split("\n")).toEqual(["2", "3", "4", "5", "six", "seven", "7", "8", "9", "10"]);
  expect(edited.snippetLine).toBe(2);
});

test("a replacement text is taken as it is, also with dollar signs", () => {
  expect(replaceOnce("a b", "b", "$&$1", 4).text).toBe("a $&$1");
});

test("lines are inserted after the given one", () => {
  const edited = insertLines("a\nb\n", 1, "x\ny", 4);
  expect(edited).toEqual({ text: "a\nx\ny\nb\n", snippet: "a\nx\ny\nb\n", snippetLine: 1 });
  expect(insertLines("a", 0, "top", 4).text).toBe("top\na");
});
