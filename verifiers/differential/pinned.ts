import * as z from "zod";
import { Json } from "../../core/json.ts";
import type { FileTree } from "../../core/task.ts";

/** One input: a call's function and typed arguments, or a program's arguments, standard input and files. */
export interface DifferentialInput {
  readonly function: string | null;
  readonly args: readonly Json[];
  readonly stdin: string;
  readonly files: Readonly<Record<string, string>>;
}

const Item = z.strictObject({
  function: z.string().nullable().default(null),
  args: z.array(Json).default([]),
  stdin: z.string().default(""),
  files: z.record(z.string(), z.string()).default({}),
});

const PINNED_FILE = "pinned.json";
const TEXT_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** The inputs that a task fixes; none without the file; text says what is wrong with it. */
export function readPinned(files: FileTree): DifferentialInput[] | string {
  const file = files.get(PINNED_FILE);
  if (file === undefined) return [];
  try {
    const source = Buffer.from(file.data).toString("utf8");
    // Checked as it is first: the pass over its numbers below expects JSON.
    JSON.parse(source);
    return z.array(Item).parse(JSON.parse(typedNumbers(source)));
  } catch (error) {
    return `${PINNED_FILE}: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** Plain JSON with its numbers in typed form, so that 1.0 stays a floating-point number. */
function typedNumbers(source: string): string {
  return source.replaceAll(TEXT_OR_NUMBER, (found) => {
    if (found.startsWith('"')) return found;
    if (!/^-?\d+$/.test(found)) return `{"$float":"${found.toLowerCase()}"}`;
    if (Number.isSafeInteger(Number(found))) return found;
    const value = BigInt(found);
    return `{"$int":"${value < 0n ? "-" : ""}0x${(value < 0n ? -value : value).toString(16)}"}`;
  });
}
