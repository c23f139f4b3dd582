// Values between JavaScript and other processes as typed JSON (typed-json.md): data only, nothing is ever evaluated.
// Loaded as the head of a program that runs in a sandbox, so that it imports nothing and exports nothing.
const DEPTH = 200;
const { isSafeInteger } = Number;

class Untypable extends Error {}

function floatText(value) {
  if (Number.isNaN(value)) return "nan";
  if (value === Infinity) return "inf";
  if (value === -Infinity) return "-inf";
  return Object.is(value, -0) ? "-0.0" : String(value);
}

const isPlainKey = (key) => !/^(\d+$|\$|__proto__$)/.test(key);
const pairsOf = (entries, depth) => [...entries].map(([key, part]) => [encode(key, depth), encode(part, depth)]);

function encodeObject(value, depth) {
  const entries = Object.entries(value);
  if (entries.every(([key]) => isPlainKey(key)))
    return Object.fromEntries(entries.map(([key, part]) => [key, encode(part, depth)]));
  return { $dict: pairsOf(entries, depth) };
}

function encode(value, depth = DEPTH) {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (value === undefined) return { $undefined: true };
  if (typeof value === "number")
    return isSafeInteger(value) && !Object.is(value, -0) ? value : { $float: floatText(value) };
  if (typeof value === "bigint")
    return { $bigint: value < 0n ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}` };
  if (typeof value !== "object") throw new Untypable(`a ${typeof value} cannot travel`);
  if (depth === 0) throw new Untypable(`nested more than ${DEPTH} deep`);
  if (Array.isArray(value)) return Array.from(value, (part) => encode(part, depth - 1));
  const prototype = Object.getPrototypeOf(value);
  if (prototype === Map.prototype) return { $map: pairsOf(value, depth - 1) };
  if (prototype === Set.prototype) return { $set: [...value].map((part) => encode(part, depth - 1)) };
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString("base64") };
  if (prototype === Date.prototype) return { $date: floatText(value.getTime()) };
  if (prototype === null || prototype === Object.prototype) return encodeObject(value, depth - 1);
  throw new Untypable(`a value of class ${prototype.constructor?.name ?? "?"} cannot travel`);
}

const bigintOf = (text) => (text.startsWith("-") ? -BigInt(text.slice(1)) : BigInt(text));
const floatOf = (text) => ({ nan: Number.NaN, inf: Infinity, "-inf": -Infinity })[text] ?? Number(text);
const listOf = (parts) => parts.map(decode);
const entriesOf = (pairs) => pairs.map(([key, part]) => [decode(key), decode(part)]);

const readers = {
  $int: bigintOf,
  $bigint: bigintOf,
  $float: floatOf,
  $bytes: (text) => new Uint8Array(Buffer.from(text, "base64")),
  $bytearray: (text) => new Uint8Array(Buffer.from(text, "base64")),
  $tuple: listOf,
  $set: (parts) => new Set(listOf(parts)),
  $frozenset: (parts) => new Set(listOf(parts)),
  $map: (pairs) => new Map(entriesOf(pairs)),
  $dict: (pairs) => {
    const entries = entriesOf(pairs);
    return entries.every(([key]) => typeof key === "string") ? Object.fromEntries(entries) : new Map(entries);
  },
  $date: (text) => new Date(floatOf(text)),
  $undefined: () => undefined,
};

function decode(value) {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(decode);
  const keys = Object.keys(value);
  const tag = keys[0];
  if (keys.length === 1 && tag.startsWith("$")) {
    if (!Object.hasOwn(readers, tag)) throw new Untypable(`${tag} cannot be read here`);
    return readers[tag](value[tag]);
  }
  return Object.fromEntries(keys.map((key) => [key, decode(value[key])]));
}
