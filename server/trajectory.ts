import type { EpisodeRecord } from "../core/episode.ts";
import type { EpisodeEvent } from "../core/events.ts";
import type { JsonObject } from "../core/json.ts";
import { type Caller, seesVerdict, seesVerdictSecrets } from "./auth/caller.ts";
import { allEvents } from "./fold.ts";
import type { Parts } from "./parts.ts";

/** Most bytes of one page, unless asked for less. */
export const DEFAULT_PAGE_BYTES = 32 * 1024 * 1024;

export interface TrajectoryPage {
  readonly items: JsonObject[];
  /** Pass as `after` for the next page; null when there are no more at present. */
  readonly next: number | null;
}

/** The events that the caller may see, numbered anew without gaps. */
export async function trajectoryPage(
  parts: Parts,
  caller: Caller,
  record: EpisodeRecord,
  page: { readonly after: number; readonly maxBytes: number },
): Promise<TrajectoryPage> {
  const items: JsonObject[] = [];
  let bytes = 0;
  for await (const event of viewedEvents(parts, caller, record)) {
    if (event.n <= page.after) continue;
    bytes += Buffer.byteLength(JSON.stringify(event.body));
    if (items.length > 0 && bytes > page.maxBytes) return { items, next: event.n - 1 };
    items.push(event.body);
  }
  return { items, next: null };
}

export interface ViewedEvent {
  /** Number in the view. */
  readonly n: number;
  /** Number in the store. */
  readonly cursor: number;
  readonly body: JsonObject;
}

/** All of them from the start: the numbers depend on what was left out before. */
export async function* viewedEvents(parts: Parts, caller: Caller, record: EpisodeRecord): AsyncGenerator<ViewedEvent> {
  const numbers = new Map<number, number>();
  for await (const event of allEvents(parts.store, record.episode_id)) {
    numbers.set(event.n, numbers.size);
    const body = viewOf(caller, event, (n) => numbers.get(n) ?? numbers.size);
    if (body === null) {
      numbers.delete(event.n);
      continue;
    }
    const n = numbers.size - 1;
    yield { n, cursor: event.n, body: { ...body, n } };
  }
}

/** Null: not for this caller. */
function viewOf(caller: Caller, event: EpisodeEvent, numberOf: (n: number) => number): JsonObject | null {
  const plain = asJson(event);
  switch (event.type) {
    case "episode.created": {
      const verifiers = event.environment.verifiers.filter((verifier) => seesVerdict(caller, verifier.role));
      return { ...plain, environment: asJson({ ...event.environment, verifiers }) };
    }
    case "term.granted":
      return { ...plain, from_n: numberOf(event.from_n) };
    case "verdict.recorded": {
      if (!seesVerdict(caller, event.verdict.role)) return null;
      if (seesVerdictSecrets(caller)) return plain;
      const { seed: _seed, base: _base, ...verdict } = event.verdict;
      return { ...plain, verdict: asJson(verdict) };
    }
    default:
      return plain;
  }
}

const asJson = (value: object): JsonObject => JSON.parse(JSON.stringify(value)) as JsonObject; // an object of plain data stays one
