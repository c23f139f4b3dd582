import { isObject } from "./values.js";

/** The document after the patch. */
export function apply(document, patch) {
  if (!isObject(patch)) return structuredClone(patch);
  const result = isObject(document) ? structuredClone(document) : {};
  for (const [name, change] of Object.entries(patch)) {
    if (change === null) delete result[name];
    else result[name] = apply(result[name], change);
  }
  return result;
}

function equal(a, b) {
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((part, index) => equal(part, b[index]));
  if (!isObject(a)) return a === b;
  const names = Object.keys(a);
  return isObject(b) && names.length === Object.keys(b).length && names.every((name) => Object.hasOwn(b, name) && equal(a[name], b[name]));
}

/** The smallest patch that turns `from` into `to`. */
export function diff(from, to) {
  if (!isObject(to)) return structuredClone(to);
  const before = isObject(from) ? from : {};
  const patch = {};
  for (const name of Object.keys(before)) if (!Object.hasOwn(to, name)) patch[name] = null;
  for (const [name, value] of Object.entries(to)) {
    if (Object.hasOwn(before, name) && equal(before[name], value)) continue;
    if (value === null) throw new TypeError(`no patch can set ${name} to null`);
    patch[name] = diff(before[name], value);
  }
  return patch;
}
