import fc from "fast-check";
import { Payload } from "../../docker/light/frames.ts";

/** Frames for the agent as nobody who means well makes them. */
export const TYPES = "BEICKSMGWTLUPYFVvwXZ";

const frameOf = (types: string) =>
  fc
    .tuple(
      fc.constantFrom(...types),
      fc.nat(20),
      fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ maxLength: 12 })),
    )
    .map(([type, id, data]) => new Payload().bytes(data).frame(id, type));
const almostCommand = fc
  .tuple(
    fc.nat(),
    fc.nat(100_000),
    fc.nat(100),
    fc.array(fc.string({ maxLength: 20 }), { maxLength: 5 }),
    fc.uint8Array({ maxLength: 30 }),
  )
  .map(([flags, timeout, keep, words, rest]) =>
    new Payload().u32(flags).u32(timeout).u32(keep).text("/").strings(words).bytes(rest).frame(1, "E"),
  );
const hugeLength = fc.nat(0xffff_ffff).map((length) => {
  const head = Buffer.alloc(40);
  head.writeUInt32LE(length);
  return head;
});

/** What one connection sends. */
export const brokenTalk = (types = TYPES) =>
  fc
    .array(fc.oneof(frameOf(types), almostCommand, hugeLength), { minLength: 1, maxLength: 8 })
    .map((frames) => Buffer.concat(frames));
