import { ImportedVersion } from "../../../core/records.ts";
import type { TaskStore } from "../../../core/store.ts";
import { TASKS_AT_ONCE } from "../task-table.ts";
import type { Connection } from "./connection.ts";

/** Followers must see them in order, so they are numbered one at a time, until their commit. */
const TASK_LOCK = 7_400_003;

const PUT = `
  WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock(${TASK_LOCK}))
  INSERT INTO tasks (number, id, version, archive) SELECT nextval('task_numbers'), $1, $2, $3 FROM turn
  ON CONFLICT (id, version) DO UPDATE SET number = excluded.number, archive = excluded.archive`;

/** Imported tasks as rows. */
export function taskRows(connection: Connection): TaskStore {
  return {
    putTask: async ({ id, version, archive }) => {
      await connection.rows(PUT, [id, version, archive]);
    },
    taskVersion: async (id, version) => {
      const text = "SELECT id, version, archive FROM tasks WHERE id = $1 AND version = $2";
      const [row] = await connection.rows(text, [id, version]);
      return row === undefined ? null : ImportedVersion.parse(row);
    },
    tasksSince: async (cursor) => {
      const text = "SELECT number, id, version, archive FROM tasks WHERE number > $1 ORDER BY number LIMIT $2";
      const rows = await connection.rows(text, [cursor, TASKS_AT_ONCE]);
      return rows.map((row) => ({ ...ImportedVersion.parse(row), cursor: Number(row.number) }));
    },
  };
}
