import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { SandboxProvider } from "../../core/sandbox.ts";
import { openProvider } from "../../docker/catalog.ts";
import { SubjectFault } from "../clean-room/subject-fault.ts";
import { CalledSubject, ownProcess, type SubjectCall } from "./called-subject.ts";
import { programFor } from "./program-text.ts";

const home = join(import.meta.dirname, "../../.polygym/test");
const LONG_MS = 30_000;
let provider: SandboxProvider;

beforeAll(async () => {
  mkdirSync(home, { recursive: true });
  provider = await openProvider({ tier: "light", home });
});
afterAll(() => provider.close());

/** A module that has been imported, in a sandbox of its own. */
async function subjectOf(source: string) {
  const sandbox = await provider.open({ image: "host", owner: "subject" });
  await sandbox.write("solution.py", source);
  const program = await programFor("subject", "python");
  const interpreterPath = "/usr/bin/python3";
  const subject = await CalledSubject.start(ownProcess({ sandbox, program, interpreterPath, wallMs: 60_000 }));
  expect(await subject.load("solution", LONG_MS)).toBeNull();
  return { subject, [Symbol.asyncDispose]: () => sandbox.close() };
}

const callOf = (arg: number): SubjectCall => ({ function: "f", args: [arg], kwargs: {} });
const items = (count: number) => Array.from({ length: count }, (_, index) => ({ index, call: callOf(index) }));

/** What comes before the end of `all`, and why it ended early. */
async function taken<T>(all: AsyncIterable<T>): Promise<{ got: T[]; fault: unknown }> {
  const got: T[] = [];
  try {
    for await (const one of all) got.push(one);
    return { got, fault: null };
  } catch (fault) {
    return { got, fault };
  }
}

test("an answer that came while this process was held up is in time", async () => {
  await using open = await subjectOf("def f(n):\n    return 2 * n\n");
  const answer = open.subject.call(callOf(21), 200);
  await turn(); // the call is on its way
  const heldUpUntil = performance.now() + 1_000;
  while (performance.now() < heldUpUntil);
  expect(await answer).toEqual({ status: "returned", value: 42, args: null });
});

test("many calls are answered in their order, each once, with what the calls before them left", async () => {
  await using open = await subjectOf("seen = []\ndef f(n):\n    seen.append(n)\n    return [n, len(seen)]\n");
  const { got, fault } = await taken(open.subject.callAll(items(100), () => LONG_MS));
  expect(fault).toBeNull();
  expect(got.map(({ index, outcome }) => [index, outcome])).toEqual(
    items(100).map(({ index }) => [index, { status: "returned", value: [index, index + 1], args: null }]),
  );
  await open.subject.finish(LONG_MS);
});

test("the time of a call that was asked ahead begins with the answer to the one before it", async () => {
  await using open = await subjectOf("import time\ndef f(n):\n    time.sleep(0.2)\n    return n\n");
  const { got, fault } = await taken(open.subject.callAll(items(12), () => 1_500));
  expect([fault, got.length]).toEqual([null, 12]); // 2.4 s in all
});

test("what was answered before a subject hangs or dies is given, and then the fault", async () => {
  for (const [end, kind] of [
    ["while True: pass", "timed_out"],
    ["__import__('os')._exit(3)", "early_exit"],
  ]) {
    await using open = await subjectOf(`def f(n):\n    if n == 20:\n        ${end}\n    return n\n`);
    const { got, fault } = await taken(open.subject.callAll(items(40), () => 2_000));
    expect(got.map(({ index }) => index)).toEqual(items(20).map(({ index }) => index));
    expect(fault).toBeInstanceOf(SubjectFault);
    expect((fault as SubjectFault).flags.map(({ name }) => name)).toEqual([kind]); // instance is checked above
  }
});

test("an answer between those to calls that were asked ahead is a violation", async () => {
  const forge =
    'for fd in range(3, 20):\n            try: os.write(fd, b\'{"nonce": "x", "value": 1}\\n\')\n            except OSError: pass';
  await using open = await subjectOf(`import os\ndef f(n):\n    if n == 5:\n        ${forge}\n    return n\n`);
  const { got, fault } = await taken(open.subject.callAll(items(40), () => LONG_MS));
  expect(got.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4]);
  expect(String(fault)).toContain("nonce");
});
