import type { Row } from "../report.ts";

/** A plot of medians (dots) and 99th percentiles (line ends) on a logarithmic scale, one band per operation. */

const COLORS = ["#0b6e4f", "#5fb49c", "#1f4e9c", "#7da3dd", "#c4443b", "#c98a1b", "#7b4ea3", "#8a8f98"];
const LEFT = 150;
const RIGHT = 930;
const TOP = 60;
const LANE = 11;
const GAP = 12;

export function plot(rows: readonly Row[], title: string): string {
  const shown = rows.filter((row) => row.parallel === 1 && row.count > 0);
  const subjects = [...new Set(shown.map((row) => row.subject))];
  const operations = [...new Set(shown.map((row) => row.operation))];
  const low = Math.floor(Math.log10(Math.min(1, ...shown.map((row) => row.p50_ms))));
  const high = Math.ceil(Math.log10(Math.max(10, ...shown.map((row) => row.p99_ms))));
  const x = (ms: number): number =>
    Math.round((LEFT + ((Math.log10(Math.max(ms, 10 ** low)) - low) / (high - low)) * (RIGHT - LEFT)) * 10) / 10;
  const bands: string[] = [];
  let y = TOP;
  for (const operation of operations) {
    const band = shown.filter((row) => row.operation === operation);
    const height = band.length * LANE;
    bands.push(label(LEFT - 8, y + height / 2, operation, "end"));
    for (const [index, row] of band.entries()) {
      const color = COLORS[subjects.indexOf(row.subject) % COLORS.length] ?? "#000";
      const at = y + index * LANE + LANE / 2;
      bands.push(
        `<line x1="${x(row.p50_ms)}" x2="${x(row.p99_ms)}" y1="${at}" y2="${at}" stroke="${color}" stroke-width="2"/>`,
        `<circle cx="${x(row.p50_ms)}" cy="${at}" r="4" fill="${color}"><title>${row.subject} ${operation}: ${row.p50_ms} ms, p99 ${row.p99_ms} ms</title></circle>`,
      );
    }
    y += height + GAP;
  }
  const axis = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i)).flatMap((ms) => [
    `<line x1="${x(ms)}" x2="${x(ms)}" y1="${TOP - 6}" y2="${y}" stroke="#ddd"/>`,
    label(x(ms), y + 16, `${ms} ms`, "middle"),
  ]);
  const legend = subjects.flatMap((subject, i) => [
    `<circle cx="${LEFT + i * 115}" cy="36" r="4" fill="${COLORS[i % COLORS.length]}"/>`,
    label(LEFT + i * 115 + 8, 36, subject, "start"),
  ]);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${RIGHT + 150} ${y + 30}" font-family="sans-serif" font-size="12">`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    label(LEFT, 16, title, "start"),
    ...legend,
    ...axis,
    ...bands,
    "</svg>\n",
  ].join("\n");
}

function label(x: number, y: number, text: string, anchor: "start" | "middle" | "end"): string {
  const safe = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" dominant-baseline="middle">${safe}</text>`;
}
