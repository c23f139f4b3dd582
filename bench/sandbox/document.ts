import { loadavg } from "node:os";
import { machine, type Row, table } from "../report.ts";
import type { Measured, Missing, Results } from "./recorder.ts";

/** What `polygym bench sandbox` says: one document for programs, a table for people. */

export interface SandboxDocument {
  readonly machine: ReturnType<typeof machine> & { readonly load_1m: number };
  readonly rows: readonly Row[];
  /** How many times as long the peer takes, by medians of one at a time. Null when one of the two is missing. */
  readonly ratios: {
    readonly exec_vs_docker: number | null;
    readonly exec_vs_swerex: number | null;
    readonly create_vs_docker: number | null;
  };
}

export function describeMachine(): SandboxDocument["machine"] {
  return { ...machine(), load_1m: Math.round((loadavg()[0] ?? Number.NaN) * 100) / 100 };
}

export function documentOf(start: SandboxDocument["machine"], results: readonly Results[]): SandboxDocument {
  const rows = results.flatMap((one) => one.rows);
  const light = rows.some((row) => row.subject === "light") ? "light" : "light-unprivileged";
  const ratio = (peer: string, operation: string): number | null => {
    const theirs = medianOf(rows, peer, operation);
    const ours = medianOf(rows, light, operation);
    return theirs === null || ours === null ? null : Math.round((theirs / ours) * 10) / 10;
  };
  return {
    machine: start,
    rows: rows.map(plainRow),
    ratios: {
      exec_vs_docker: ratio("docker-exec", "exec_bash"),
      exec_vs_swerex: ratio("swe-rex", "exec_bash"),
      create_vs_docker: ratio("docker-exec", "create"),
    },
  };
}

function medianOf(rows: readonly Row[], subject: string, operation: string): number | null {
  const row = rows.find((one) => one.subject === subject && one.operation === operation && one.parallel === 1);
  return row && row.count > 0 ? row.p50_ms : null;
}

function plainRow(row: Measured): Row {
  const { generator_cpu: _cpu, samples_ms: _samples, memory_kb: _memory, available_kb: _available, ...plain } = row;
  return plain;
}

export function forPeople(document: SandboxDocument, results: readonly Results[]): string {
  const rows = results.flatMap((one) => one.rows);
  const memory = rows
    .filter((row) => row.available_kb !== undefined)
    .map((row) => {
      const own = row.memory_kb === undefined ? "" : `${row.memory_kb} KiB of its processes' own, `;
      return `${row.subject}: an idle sandbox takes ${own}${row.available_kb} KiB of the machine`;
    });
  const busy = Math.max(0, ...rows.filter((row) => row.count > 0).map((row) => row.generator_cpu));
  const { ratios } = document;
  return [
    JSON.stringify(document.machine),
    table(document.rows),
    ...memory,
    `the load generator used at most ${busy} of a core`,
    `times as slow as light: docker exec ${ratios.exec_vs_docker}, SWE-ReX ${ratios.exec_vs_swerex}, making a container ${ratios.create_vs_docker}`,
    ...results.flatMap((one) => one.missing).map(missingLine),
  ].join("\n");
}

const missingLine = ({ subject, what, reason }: Missing): string => `missing: ${subject} ${what}: ${reason}`;
