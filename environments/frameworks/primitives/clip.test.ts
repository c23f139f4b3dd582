import fc from "fast-check";
import { expect, test } from "vitest";
import { clipHead, clipMiddle, clipTail, countCharacters, decodeStrict, decodeText } from "./clip.ts";

test("cuts on code points, never inside one", () => {
  expect(clipHead("a😀b", 2)).toEqual({ text: "a😀", clipped: true });
  expect(clipTail("a😀b", 2)).toEqual({ text: "😀b", clipped: true });
  expect(clipMiddle("😀😀😀😀", 2)).toEqual({ head: "😀", tail: "😀", elided: 2 });
});

test("leaves text alone that fits", () => {
  expect(clipHead("😀😀", 2)).toEqual({ text: "😀😀", clipped: false });
  expect(clipTail("😀😀", 2)).toEqual({ text: "😀😀", clipped: false });
  expect(clipMiddle("abc", 4)).toBeNull();
});

test("head, tail and elided characters add up", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 60 }), fc.integer({ min: 2, max: 40 }), (text, max) => {
      const middle = clipMiddle(text, max);
      const length = Array.from(text).length;
      expect(countCharacters(text)).toBe(length);
      if (middle === null) return length < max;
      expect(text.startsWith(middle.head) && text.endsWith(middle.tail)).toBe(true);
      expect(Array.from(middle.head).length + Array.from(middle.tail).length + middle.elided).toBe(length);
      return true;
    }),
  );
});

test("bytes that are not UTF-8 are marked, or refused", () => {
  const bytes = Uint8Array.of(97, 255, 98);
  expect(decodeText(bytes)).toBe("a\uFFFDb");
  expect(decodeStrict(bytes)).toBeNull();
  expect(decodeStrict(Uint8Array.of(0xef, 0xbb, 0xbf, 97))).toBe("\uFEFFa");
});
