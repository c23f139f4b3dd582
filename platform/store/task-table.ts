import { ImportedVersion } from "../../core/records.ts";
import type { TaskStore } from "../../core/store.ts";
import type { Database } from "./database.ts";

export const TASKS_AT_ONCE = 1_000;

/** Imported tasks in SQLite. They are not in the segments; their folders are in the home folder beside it. */
export function taskTable(database: Database): TaskStore {
  const { sql } = database;
  const put = sql.prepare("INSERT OR REPLACE INTO tasks (id, version, archive) VALUES (?, ?, ?)");
  const one = sql.prepare("SELECT id, version, archive FROM tasks WHERE id = ? AND version = ?");
  const since = sql.prepare("SELECT number, id, version, archive FROM tasks WHERE number > ? ORDER BY number LIMIT ?");
  return {
    putTask: ({ id, version, archive }) => database.write(() => void put.run(id, version, archive)),
    taskVersion: (id, version) =>
      database.read(() => {
        const row = one.get(id, version);
        return row === undefined ? null : ImportedVersion.parse(row);
      }),
    tasksSince: (cursor) =>
      database.read(() =>
        since.all(cursor, TASKS_AT_ONCE).map((row) => ({ ...ImportedVersion.parse(row), cursor: Number(row.number) })),
      ),
  };
}
