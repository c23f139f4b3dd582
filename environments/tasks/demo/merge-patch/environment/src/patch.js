import { isObject } from "./values.js";

/** The document after the patch. */
export function apply(document, patch) {
  if (!isObject(patch)) return patch;
  return { ...document, ...patch };
}

/** The smallest patch that turns `from` into `to`. */
export function diff(from, to) {
  return to;
}
