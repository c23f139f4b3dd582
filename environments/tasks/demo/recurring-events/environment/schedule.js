/** Dates of recurring events. */

export function occurrences(rule, from, to) {
  throw new Error("not implemented");
}

export function clashes(events, from, to) {
  throw new Error("not implemented");
}
