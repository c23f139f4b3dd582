import { GymError } from "../../core/errors.ts";

export const decode = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

/** The code of the GymError that a promise ends with; "none" when it does not fail. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "none";
  } catch (error) {
    if (error instanceof GymError) return error.code;
    throw error;
  }
}

/** Names in a tar, in order. */
export function tarNames(tar: Uint8Array): string[] {
  const names: string[] = [];
  const data = Buffer.from(tar);
  for (let at = 0; at + 512 <= data.length && data[at] !== 0; ) {
    names.push(data.toString("utf8", at, data.indexOf(0, at)));
    const size = Number.parseInt(data.toString("latin1", at + 124, at + 135), 8);
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return names;
}

/** Waits until `check` is true; fails with `what` at the deadline. */
export async function until(what: string, check: () => boolean | Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
