import fc from "fast-check";
import { expect, test } from "vitest";
import { type EpisodeEvent, EVENT_TYPES, foldTerms } from "../../core/events.ts";
import { EpisodeId } from "../../core/ids.ts";
import { eventLine, formatIndexLine, type IndexEntry, parseIndexLine, peekLine } from "./segment-line.ts";

const id = EpisodeId.parse("ep_a.1");

const entries = fc.record<IndexEntry>({
  episodeId: fc.constantFrom("ep_a.1", "ep_B-2"),
  type: fc.constantFrom(...EVENT_TYPES),
  n: fc.nat(),
  term: fc.nat(),
  offset: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
  length: fc.nat(),
});

/** A history as fenced owners may leave it: each term begins where it likes and writes on, whatever others did. */
const histories = fc
  .array(fc.record({ from: fc.nat({ max: 12 }), more: fc.nat({ max: 8 }) }), { maxLength: 4 })
  .map((terms) =>
    terms.flatMap(({ from, more }, index): EpisodeEvent[] => {
      const head = { v: 1, episode_id: id, term: index + 1, at: 0 } as const;
      return [
        { ...head, n: from, type: "term.granted", worker: "w", from_n: from },
        ...Array.from(
          { length: more },
          (_, i): EpisodeEvent => ({
            ...head,
            n: from + 1 + i,
            type: "context.compacted",
            conversation: "main",
            messages_dropped: i,
          }),
        ),
      ];
    }),
  );

test("an index line says again what it was made of", () => {
  fc.assert(
    fc.property(entries, (entry) => {
      expect(parseIndexLine(formatIndexLine(entry).trimEnd())).toEqual(entry);
    }),
  );
});

test("an index that is made from the lines is the one that was written with them", () => {
  fc.assert(
    fc.property(histories, (events) => {
      for (const event of events) {
        const line = eventLine(event);
        expect(peekLine(line.bytes.toString().trimEnd())).toEqual(line.head);
      }
    }),
  );
});

test("fencing on the index keeps the events that fencing on the events keeps", () => {
  fc.assert(
    fc.property(histories, (events) => {
      const kept = foldTerms(events.map((event) => ({ ...eventLine(event).head, event }))).map(({ event }) => event);
      expect(kept).toEqual(foldTerms(events));
    }),
  );
});

test("what is no line is told apart", () => {
  for (const text of [
    "",
    "{",
    "\u0000\u0000",
    "[]",
    '{"v":1}',
    '{"episode_id":"ep_a","type":"unheard","n":0,"term":0}',
  ])
    expect(peekLine(text)).toBeNull();
  for (const text of [
    "",
    "ep_a",
    "ep_a context.compacted 1 0 - x 3",
    "ep_a unheard 1 0 - 2 3",
    "ep_a context.compacted 1 0 - 2 3 4",
  ])
    expect(parseIndexLine(text)).toBeNull();
});
