import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Lab, openLab } from "../server/lab.ts";
import type { LabWorker } from "../server/lab-worker.ts";
import { answerMs, type ServerBench } from "./server-attacks.ts";
import { serverAttacks } from "./server-suite.ts";

/** Every hostile client, against a server that listens, with a Redis and a store of its own. */
let bench: ServerBench;
let lab: Lab | undefined;
let worker: LabWorker | undefined;
beforeAll(async () => {
  lab = await openLab();
  worker = await lab.worker();
  const [trainer, stranger, operator] = await Promise.all([
    lab.token("trainer"),
    lab.token("trainer"),
    lab.token("operator"),
  ]);
  bench = { lab, trainer, stranger, operator };
});
afterAll(async () => {
  await worker?.[Symbol.asyncDispose]();
  await lab?.[Symbol.asyncDispose]();
});

describe("hostile clients", () => {
  for (const { name, run } of serverAttacks)
    test(name, async () => {
      await run(bench);
      expect(await answerMs(bench)).toBeLessThan(5_000);
    });
});

describe.concurrent("without the defence", () => {
  for (const { name, control } of serverAttacks) {
    if ("run" in control) test(`works: ${name}`, control.run);
    else if (control.none.length < 20)
      test(`says why there is no control: ${name}`, () => expect(control.none).toBe(""));
  }
});
