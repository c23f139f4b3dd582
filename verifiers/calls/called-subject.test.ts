import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import { openProvider } from "../../docker/catalog.ts";
import { CalledSubject, ownProcess } from "./called-subject.ts";
import { programFor } from "./program-text.ts";

const home = join(import.meta.dirname, "../../.polygym/test");
mkdirSync(home, { recursive: true });

test("an answer that came while this process was held up is in time", async () => {
  await using provider = await openProvider({ tier: "light", home });
  await using sandbox = await provider.open({ image: "host", owner: "subject" });
  await sandbox.write("solution.py", "def double(n):\n    return 2 * n\n");
  const program = await programFor("subject", "python");
  const interpreterPath = "/usr/bin/python3";
  await using subject = await CalledSubject.start(ownProcess({ sandbox, program, interpreterPath, wallMs: 60_000 }));
  expect(await subject.load("solution", 30_000)).toBeNull();
  const answer = subject.call({ function: "double", args: [21], kwargs: {} }, 200);
  await turn(); // the call is on its way
  const heldUpUntil = performance.now() + 1_000;
  while (performance.now() < heldUpUntil);
  expect(await answer).toEqual({ status: "returned", value: 42, args: null });
});
