import type { Json } from "../../core/json.ts";

/** Typed JSON (typed-json.md) as the worker sees it: checked for form and compared, never evaluated. */

/** Same bound as in the sandboxes' own codecs; with tags a value is at most twice as deep in JSON. */
const MAX_JSON_DEPTH = 410;

const INT = /^-?0x[0-9a-f]+$/;
const FLOAT = /^(-?(\d+(\.\d+)?(e[+-]?\d+)?|inf)|nan)$/;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

type FormCheck = (body: unknown, depth: number) => boolean;

const isText = (pattern: RegExp) => (body: unknown) => typeof body === "string" && pattern.test(body);
const isList: FormCheck = (body, depth) => Array.isArray(body) && body.every((part) => isTyped(part, depth));
const isPairs: FormCheck = (body, depth) =>
  Array.isArray(body) &&
  body.every((pair) => Array.isArray(pair) && pair.length === 2 && pair.every((part) => isTyped(part, depth)));

const forms: ReadonlyMap<string, FormCheck> = new Map<string, FormCheck>([
  ["$int", isText(INT)],
  ["$bigint", isText(INT)],
  ["$float", isText(FLOAT)],
  ["$date", isText(FLOAT)],
  ["$complex", (body) => Array.isArray(body) && body.length === 2 && body.every(isText(FLOAT))],
  ["$bytes", isText(BASE64)],
  ["$bytearray", isText(BASE64)],
  ["$range", (body, depth) => Array.isArray(body) && body.length === 3 && isList(body, depth)],
  ["$tuple", isList],
  ["$set", isList],
  ["$frozenset", isList],
  ["$dict", isPairs],
  ["$map", isPairs],
  ["$undefined", (body) => body === true],
]);

/** True when `value` has the form of typed JSON. What a subject sends and has not this form is a protocol violation. */
export function isTyped(value: unknown, depth = MAX_JSON_DEPTH): value is Json {
  if (value === null || typeof value === "boolean" || typeof value === "string") return true;
  if (typeof value === "number") return Number.isSafeInteger(value);
  if (depth === 0 || typeof value !== "object") return false;
  if (Array.isArray(value)) return value.every((part) => isTyped(part, depth - 1));
  const entries: [string, unknown][] = Object.entries(value);
  const [first] = entries;
  if (entries.length === 1 && first?.[0].startsWith("$")) return forms.get(first[0])?.(first[1], depth - 1) ?? false;
  return entries.every(([key, part]) => !key.startsWith("$") && isTyped(part, depth - 1));
}

export function tagOf(value: Json): { tag: string; body: Json } | null {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return null;
  const entries = Object.entries(value);
  const [first] = entries;
  return entries.length === 1 && first?.[0].startsWith("$") ? { tag: first[0], body: first[1] } : null;
}

export interface EqualityRules {
  /** Numbers are equal when |a-b| <= tolerance * max(1, |a|, |b|). Above 0, whole and floating-point ones compare too. */
  readonly tolerance: number;
  /** JavaScript has one type of number: 0 and -0 are equal there. */
  readonly oneNumberType: boolean;
}

/** Equality of typed values: same type, same content; the order of sets and dictionaries does not count. NaN equals nothing. */
export function sameValue(a: Json, b: Json, rules: EqualityRules): boolean {
  const [left, right] = [numberOf(a), numberOf(b)];
  if (left !== null || right !== null) return left !== null && right !== null && sameNumber(left, right, rules);
  if (a === null || b === null || typeof a !== "object" || typeof b !== "object") return a === b;
  if (Array.isArray(a) || Array.isArray(b)) return Array.isArray(a) && Array.isArray(b) && sameList(a, b, rules);
  const [first, second] = [tagOf(a), tagOf(b)];
  const [pairs, others] = [pairsOf(a, first), pairsOf(b, second)];
  if (pairs !== null || others !== null)
    return pairs !== null && others !== null && pairs.map === others.map && sameMembers(pairs.list, others.list, rules);
  if (first === null || second === null || first.tag !== second.tag) return false;
  return sameTagged(first.tag, first.body, second.body, rules);
}

function sameTagged(tag: string, a: Json, b: Json, rules: EqualityRules): boolean {
  if (tag === "$complex" && Array.isArray(a) && Array.isArray(b))
    return a.every((part, i) => sameValue({ $float: part }, { $float: b[i] ?? null }, rules));
  if (!Array.isArray(a) || !Array.isArray(b)) return a === b;
  return tag === "$set" || tag === "$frozenset" ? sameMembers(a, b, rules) : sameList(a, b, rules);
}

interface NumberValue {
  readonly type: "int" | "float" | "bigint";
  readonly value: number | bigint;
}

function numberOf(value: Json): NumberValue | null {
  if (typeof value === "number") return { type: "int", value };
  const tagged = tagOf(value);
  if (tagged === null || typeof tagged.body !== "string") return null;
  if (tagged.tag === "$float") return { type: "float", value: floatOf(tagged.body) };
  if (tagged.tag === "$int") return { type: "int", value: bigintOf(tagged.body) };
  return tagged.tag === "$bigint" ? { type: "bigint", value: bigintOf(tagged.body) } : null;
}

export const floatOf = (text: string): number => Number(text.replace("inf", "Infinity").replace("nan", "NaN"));
const bigintOf = (text: string): bigint => (text.startsWith("-") ? -BigInt(text.slice(1)) : BigInt(text));

function sameNumber(a: NumberValue, b: NumberValue, { tolerance, oneNumberType }: EqualityRules): boolean {
  if ((a.type === "bigint") !== (b.type === "bigint")) return false;
  // biome-ignore lint/suspicious/noDoubleEquals: a bigint and a number of the same value are the same number here
  if (a.type === b.type && a.value == b.value) return true;
  if (a.type !== b.type && !oneNumberType && tolerance === 0) return false;
  // biome-ignore lint/suspicious/noDoubleEquals: as above
  if (a.value == b.value) return true;
  if (tolerance === 0 || (a.type !== "float" && b.type !== "float")) return false;
  const [x, y] = [Number(a.value), Number(b.value)];
  if (!Number.isFinite(x) || !Number.isFinite(y)) return false;
  return Math.abs(x - y) <= tolerance * Math.max(1, Math.abs(x), Math.abs(y));
}

const sameList = (a: readonly Json[], b: readonly Json[], rules: EqualityRules): boolean =>
  a.length === b.length && a.every((part, i) => sameValue(part, b[i] ?? null, rules));

function pairsOf(value: Json, tagged: ReturnType<typeof tagOf>): { map: boolean; list: Json[] } | null {
  if (tagged !== null) {
    const map = tagged.tag === "$map";
    return (map || tagged.tag === "$dict") && Array.isArray(tagged.body) ? { map, list: tagged.body } : null;
  }
  return value !== null && typeof value === "object" && !Array.isArray(value)
    ? { map: false, list: Object.entries(value) }
    : null;
}

/** Most pairs that members of unordered collections are compared in, when their text differs. */
const MAX_PAIRINGS = 250_000;

/** The same members in any order. Members with the same text are paired first; the rest one by one. */
function sameMembers(a: readonly Json[], b: readonly Json[], rules: EqualityRules): boolean {
  if (a.length !== b.length) return false;
  const byText = new Map<string, Json[]>();
  for (const part of b) byText.set(textOf(part), [...(byText.get(textOf(part)) ?? []), part]);
  const left = a.filter((part) => {
    const same = byText.get(textOf(part));
    const at = same?.findIndex((other) => sameValue(part, other, rules)) ?? -1;
    if (at >= 0) same?.splice(at, 1);
    return at < 0;
  });
  const right = [...byText.values()].flat();
  if (left.length * right.length > MAX_PAIRINGS) return false;
  return left.every((part) => {
    const at = right.findIndex((other) => sameValue(part, other, rules));
    if (at >= 0) right.splice(at, 1);
    return at >= 0;
  });
}

const textOf = (value: Json): string => JSON.stringify(value);
