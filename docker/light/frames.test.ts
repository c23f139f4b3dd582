import fc from "fast-check";
import { expect, test } from "vitest";
import { type Frame, FrameParser, MAX_FRAME, Payload, PayloadReader } from "./frames.ts";

test("frames survive being cut anywhere", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(1_000_000), fc.uint8Array({ maxLength: 300 })), { maxLength: 20 }),
      fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 30 }),
      (frames, cuts) => {
        const stream = Buffer.concat(frames.map(([id, data]) => new Payload().bytes(data).frame(id, "D")));
        const parser = new FrameParser();
        const seen: Frame[] = [];
        for (let at = 0, i = 0; at < stream.length; i++) {
          const length = cuts[i % cuts.length] ?? 1;
          parser.push(stream.subarray(at, at + length), (frame) => seen.push(frame));
          at += length;
        }
        expect(seen.map(({ id, payload }) => [id, [...payload]])).toEqual(frames.map(([id, data]) => [id, [...data]]));
      },
    ),
  );
});

test("a frame beyond the bound is refused before it is buffered", () => {
  const head = Buffer.alloc(9);
  head.writeUInt32LE(MAX_FRAME + 1);
  expect(() => new FrameParser().push(head, () => undefined)).toThrow(RangeError);
});

test("a payload that ends early throws instead of answering zeros", () => {
  const reader = new PayloadReader(Buffer.from([5, 0, 0, 0, 1, 2]));
  expect(() => reader.bytes()).toThrow(RangeError);
});
