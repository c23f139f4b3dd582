import { parse } from "secure-json-parse";
import { ProblemError } from "../core/errors.ts";

/** Deeper JSON than any body needs; parsers and validators recurse. */
export const MAX_JSON_DEPTH = 64;
/** Keys of all objects together: a batch of ten thousand steps has fewer. Checking a million holds everybody up for seconds. */
export const MAX_JSON_KEYS = 100_000;
/** Of what one form of a value misses: a message may name every key that it does not know. */
const MAX_MESSAGE = 300;

/** Parses untrusted JSON: bounded depth and number of keys, no `__proto__` and no `constructor.prototype`. */
export function parseJson(text: string): unknown {
  checkShape(text);
  try {
    return parse(text, null, { protoAction: "error", constructorAction: "error" });
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new ProblemError(
      "invalid_request",
      `the body is not valid JSON: ${detail.slice(0, 300)}`,
      "send one JSON value, UTF-8",
    );
  }
}

function checkShape(text: string): void {
  let depth = 0;
  let keys = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (inString) {
      if (code === 0x5c) i++;
      else if (code === 0x22) inString = false;
    } else if (code === 0x22) inString = true;
    else if (code === 0x7b || code === 0x5b) {
      if (++depth > MAX_JSON_DEPTH)
        throw new ProblemError("invalid_request", `JSON deeper than ${MAX_JSON_DEPTH} levels`, "send a flatter body");
    } else if (code === 0x7d || code === 0x5d) depth--;
    else if (code === 0x3a && ++keys > MAX_JSON_KEYS)
      throw new ProblemError(
        "invalid_request",
        `JSON with more than ${MAX_JSON_KEYS} keys`,
        "send it in several calls",
      );
  }
}

/** What a schema found wrong; a union also has what each of its forms missed. */
interface Issue {
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly errors?: readonly (readonly Issue[])[];
}

/** Every problem with a value that a schema found, in one line. */
export function describeIssues(issues: readonly Issue[], where: string): string {
  return issues
    .slice(0, 10)
    .map((issue) => describeIssue(issue, where))
    .join("; ")
    .slice(0, 2_000);
}

function describeIssue({ path, message, errors }: Issue, where: string): string {
  const here = [where, ...path.map(String)].join(".");
  const forms = (errors ?? []).flatMap((form) => form.slice(0, 1).map((issue) => describeIssue(issue, here)));
  return forms.length === 0
    ? `${here}: ${message.slice(0, MAX_MESSAGE)}`
    : `${here} fits none of its forms (${forms.join(" | ")})`;
}
