/** Dates of recurring events. */

const DAY_MS = 86_400_000;
const WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/** Number of days since 1970-01-01. */
function dayNumber(text) {
  const match = typeof text === "string" ? /^(\d{4})-(\d{2})-(\d{2})$/.exec(text) : null;
  if (match === null) throw new RangeError(`not a date: ${text}`);
  const day = Date.parse(`${text}T00:00:00Z`) / DAY_MS;
  if (Number.isNaN(day) || dateText(day) !== text) throw new RangeError(`not a date: ${text}`);
  return day;
}

const dateText = (day) => new Date(day * DAY_MS).toISOString().slice(0, 10);

/** 0 for Monday; 1970-01-01 was a Thursday. */
const weekdayOf = (day) => (((day + 3) % 7) + 7) % 7;

function atLeastOne(value, name) {
  if (!Number.isInteger(value) || value < 1) throw new RangeError(`${name} must be an integer of at least 1, got ${value}`);
  return value;
}

function weekdaysOf(rule, start) {
  if (rule.weekdays === undefined) return [weekdayOf(start)];
  if (!Array.isArray(rule.weekdays) || rule.weekdays.length === 0) throw new RangeError("weekdays must not be empty");
  return rule.weekdays.map((name) => {
    const index = WEEKDAYS.indexOf(name);
    if (index === -1) throw new RangeError(`unknown weekday ${name}`);
    return index;
  });
}

function* days(start, step) {
  for (let day = start; ; day += step) yield day;
}

function* weeks(start, step, weekdays) {
  const order = [...new Set(weekdays)].sort((a, b) => a - b);
  for (let monday = start - weekdayOf(start); ; monday += 7 * step)
    for (const weekday of order) if (monday + weekday >= start) yield monday + weekday;
}

function* months(start, step) {
  const first = new Date(start * DAY_MS);
  for (let passed = 0; ; passed += step) {
    const day = Date.UTC(first.getUTCFullYear(), first.getUTCMonth() + passed, first.getUTCDate()) / DAY_MS;
    if (new Date(day * DAY_MS).getUTCDate() === first.getUTCDate()) yield day;
  }
}

function sequence(rule, start, step) {
  if (rule.every === "day") return days(start, step);
  if (rule.every === "week") return weeks(start, step, weekdaysOf(rule, start));
  if (rule.every === "month") return months(start, step);
  throw new RangeError(`unknown every ${rule.every}`);
}

export function occurrences(rule, from, to) {
  const start = dayNumber(rule.start);
  const sorted = sequence(rule, start, atLeastOne(rule.step ?? 1, "step"));
  const first = dayNumber(from);
  const last = Math.min(dayNumber(to), rule.until === undefined ? Infinity : dayNumber(rule.until));
  const count = rule.count === undefined ? Infinity : atLeastOne(rule.count, "count");
  const skipped = new Set((rule.except ?? []).map(dayNumber));
  const found = [];
  let seen = 0;
  for (const day of sorted) {
    if (day > last || seen >= count) return found;
    seen += 1;
    if (day >= first && !skipped.has(day)) found.push(dateText(day));
  }
  return found;
}

export function clashes(events, from, to) {
  const names = new Map();
  for (const { name, rule } of events)
    for (const date of occurrences(rule, from, to)) names.set(date, [...(names.get(date) ?? []), name]);
  return [...names].filter(([, found]) => found.length > 1).sort(([a], [b]) => (a < b ? -1 : 1));
}
