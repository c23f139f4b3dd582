import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { EpisodeRecord } from "../../core/episode.ts";
import { EpisodeEvent, foldTerms } from "../../core/events.ts";
import { EpisodeId } from "../../core/ids.ts";
import type { Logger } from "../log.ts";
import type { Database } from "./database.ts";
import type { EpisodeTable } from "./episode-table.ts";
import { SegmentFile } from "./segment-file.ts";
import { type IndexEntry, RecordLine } from "./segment-line.ts";

export interface RecoverOptions {
  readonly database: Database;
  readonly table: EpisodeTable;
  /** Folder of the segments. */
  readonly dir: string;
  readonly log: Logger;
}

/**
 * Looks at the segments once after each start of the machine, and when the database is new. Then the last transactions of
 * the database may be missing while the segments have everything that was answered; so what they say is put in: which
 * episodes each holds, their records and verdicts. Tokens, logins, idempotency keys, jobs and halts cannot be made again.
 */
export async function recover({ database, table, dir, log }: RecoverOptions): Promise<void> {
  const boot = bootId();
  const { sql } = database;
  const known = await database.read(() => sql.prepare("SELECT value FROM meta WHERE name = 'boot'").get()?.value);
  if (known === boot) return;
  const outcome = await database.write(() => {
    const last = sql.prepare("SELECT value FROM meta WHERE name = 'boot'").get()?.value;
    if (last === boot) return null;
    const sealed = new Set(
      sql
        .prepare("SELECT name FROM segments WHERE sealed = 1")
        .all()
        .map((row) => String(row.name)),
    );
    const names = segmentNames(dir).filter((name) => !sealed.has(name));
    const restored = restore({ database, table, dir, names, machineRestarted: last !== undefined });
    // That some were shared may be forgotten.
    if (last !== undefined) sql.exec("UPDATE snapshots SET state = 'shared' WHERE state = 'own'");
    // Who wrote them before the machine started writes no more.
    if (last !== undefined)
      for (const name of names) sql.prepare("UPDATE segments SET sealed = 1 WHERE name = ?").run(name);
    sql.prepare("INSERT OR REPLACE INTO meta (name, value) VALUES ('boot', ?)").run(boot);
    return { segments: names.length, ...restored };
  });
  if (outcome !== null && outcome.segments > 0) log.info(outcome, "segments looked at after a restart");
}

/** Changes when the machine starts: only then can written bytes be lost. */
function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "unknown";
  }
}

export function segmentNames(dir: string): string[] {
  return readdirSync(dir)
    .filter((file) => file.endsWith(".jsonl"))
    .map((file) => file.slice(0, -".jsonl".length))
    .sort();
}

interface RestoreOptions {
  readonly database: Database;
  readonly table: EpisodeTable;
  readonly dir: string;
  readonly names: readonly string[];
  readonly machineRestarted: boolean;
}

interface Found {
  readonly file: SegmentFile;
  readonly entry: IndexEntry;
}

function restore({ database, table, dir, names, machineRestarted }: RestoreOptions): {
  records: number;
  verdicts: number;
} {
  const { sql } = database;
  const addSegment = sql.prepare("INSERT OR IGNORE INTO segments (name) VALUES (?)");
  const link = sql.prepare("INSERT OR IGNORE INTO episode_segments SELECT ?, id FROM segments WHERE name = ?");
  const found = new Map<string, Found[]>();
  const files: SegmentFile[] = [];
  try {
    for (const name of names) {
      // An index is not synced: after a crash of the machine it is made again from the lines.
      if (machineRestarted) rmSync(join(dir, `${name}.idx`), { force: true });
      const file = new SegmentFile(join(dir, name));
      files.push(file);
      file.refresh();
      addSegment.run(name);
      for (const id of file.episodes()) {
        link.run(id, name);
        const entries = file.entries(id).map((entry) => ({ file, entry }));
        found.set(id, [...(found.get(id) ?? []), ...entries]);
      }
    }
    return restoreEpisodes(table, found);
  } finally {
    for (const file of files) file.close();
  }
}

function restoreEpisodes(
  table: EpisodeTable,
  found: ReadonlyMap<string, readonly Found[]>,
): { records: number; verdicts: number } {
  const kept = [...found].flatMap(([id, lines]) => {
    const copy = latestCopy(lines);
    return copy === null ? [] : [{ id: EpisodeId.parse(id), lines, copy }];
  });
  let records = 0;
  let verdicts = 0;
  for (const { id, lines, copy } of kept.sort((a, b) => a.copy.record.created_at - b.copy.record.created_at)) {
    const existing = table.find(id);
    const events = wantedEvents(lines);
    for (const event of events)
      if (event.type === "verdict.recorded" && table.insertVerdict(id, event.verdict)) verdicts++;
    const restored = copy.record.state === "done" ? copy.record : foldRecord(existing ?? copy.record, events);
    if (existing === null) table.insert(restored, copy.body_digest);
    else if (isBehind(existing, restored)) table.replace(restored);
    else continue;
    records++;
  }
  return { records, verdicts };
}

const isBehind = (existing: EpisodeRecord, restored: EpisodeRecord): boolean =>
  existing.state !== "done" &&
  (restored.state === "done" ||
    restored.term > existing.term ||
    (restored.state === "verifying" && existing.state !== "verifying"));

/** The copy made at the end is later than the one made at the start. */
function latestCopy(lines: readonly Found[]): RecordLine | null {
  const copies = lines.filter(({ entry }) => entry.type === "record").map(readCopy);
  return copies.sort((a, b) => a.record.updated_at - b.record.updated_at).at(-1) ?? null;
}

const textOf = ({ file, entry }: Found): string => file.read(entry.offset, entry.length).toString("utf8");
const readCopy = (found: Found): RecordLine => RecordLine.parse(JSON.parse(textOf(found)));

const FOLDED_TYPES: ReadonlySet<string> = new Set([
  "term.granted",
  "framework.opened",
  "step.observed",
  "episode.parked",
  "submission.frozen",
  "verdict.recorded",
]);

function wantedEvents(lines: readonly Found[]): EpisodeEvent[] {
  const live = foldTerms(
    lines.filter(({ entry }) => entry.type !== "record").map((found) => ({ ...found.entry, found })),
  );
  return live
    .filter((entry) => FOLDED_TYPES.has(entry.type))
    .map(({ found }) => EpisodeEvent.parse(JSON.parse(textOf(found))));
}

/** What the events say of an episode that is not done. Its owner is gone; the sweeper sees to the rest. */
function foldRecord(record: EpisodeRecord, events: readonly EpisodeEvent[]): EpisodeRecord {
  let folded = record;
  for (const event of events) {
    if (event.type === "term.granted") folded = { ...folded, term: event.term, worker: event.worker, state: "booting" };
    if (event.type === "framework.opened") folded = { ...folded, state: "ready" };
    if (event.type === "step.observed")
      folded = { ...folded, state: "ready", steps: event.steps, wall_used_ms: event.wall_used_ms };
    if (event.type === "episode.parked")
      folded = { ...folded, state: "parked", worker: null, steps: event.steps, wall_used_ms: event.wall_used_ms };
    if (event.type === "submission.frozen")
      folded = {
        ...folded,
        state: "verifying",
        stop_reason: event.stop_reason,
        submission: event.submission,
        reward_status: "pending",
      };
  }
  return folded;
}
