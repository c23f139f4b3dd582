import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import * as z from "zod";
import { EpisodeRecord } from "../../core/episode.ts";
import { EpisodeEvent } from "../../core/events.ts";

/** What a store holds, read from its files without the service: every line that was ever written, fenced off or not. */
export interface StoreLog {
  readonly events: ReadonlyMap<string, readonly EpisodeEvent[]>;
  readonly records: ReadonlyMap<string, EpisodeRecord>;
  /** Whole lines that are neither an event nor a record. */
  readonly unreadable: readonly string[];
}

const RecordLine = z.object({ record: EpisodeRecord });

/** Reads the embedded store of a home whose service has ended. */
export function readStoreLog(home: string): StoreLog {
  const dir = join(home, "store", "segments");
  const events = new Map<string, EpisodeEvent[]>();
  const unreadable: string[] = [];
  for (const name of readdirSync(dir).filter((file) => file.endsWith(".jsonl"))) {
    const lines = readFileSync(join(dir, name), "utf8").split("\n");
    lines.pop(); // behind the last newline: nothing, or a torn line that nobody was told of
    for (const line of lines) {
      const value = whole(home, parse(line));
      const event = EpisodeEvent.safeParse(value);
      if (event.success) {
        const known = events.get(event.data.episode_id) ?? [];
        known.push(event.data);
        events.set(event.data.episode_id, known);
      } else if (!RecordLine.safeParse(value).success) unreadable.push(`${name}: ${line.slice(0, 120)}`);
    }
  }
  return { events, records: recordsOf(join(home, "store", "store.db")), unreadable };
}

const Reference = z.object({ blob: z.string().startsWith("sha256:"), bytes: z.int() });

/** A large event lies in a blob, and its place in the segment holds a reference. */
function whole(home: string, value: unknown): unknown {
  const reference = Reference.safeParse(value);
  if (!reference.success) return value;
  return parse(readFileSync(join(home, "store", "blobs", reference.data.blob.slice("sha256:".length)), "utf8"));
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

function recordsOf(path: string): Map<string, EpisodeRecord> {
  const sql = new DatabaseSync(path, { readOnly: true });
  try {
    const rows = sql.prepare("SELECT record FROM episodes").all();
    const records = rows.map((row) => EpisodeRecord.parse(JSON.parse(String(row.record))));
    return new Map(records.map((record) => [record.episode_id, record]));
  } finally {
    sql.close();
  }
}
