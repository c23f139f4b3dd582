import { afterAll, beforeAll, expect, test } from "vitest";
import { JudgingLab } from "../judging.ts";
import { functionAttacks } from "./function-attacks.ts";
import { spreadTask } from "./spread-task.ts";

/** Short, for the attacks that never answer. */
const task = spreadTask(2);

let lab: JudgingLab;
beforeAll(async () => {
  lab = await JudgingLab.open();
});
afterAll(() => lab[Symbol.asyncDispose]());

test("gold scores 1 and doing nothing scores 0", async () => {
  for (const verifier of ["tests", "differential"]) {
    expect((await lab.judge(task, { files: { "solution.py": goldText() } }, verifier)).score).toBe(1);
    expect((await lab.judge(task, {}, verifier)).score).toBe(0);
  }
});

const goldText = () => Buffer.from(task.gold.files.get("solution.py")?.data ?? "").toString();

for (const attack of functionAttacks) {
  test(`${attack.name} scores 0, its honest twin 1`, async () => {
    const byTests = await lab.judge(task, { files: attack.cheat }, "tests");
    expect(byTests.score).toBe(0);
    expect(byTests.flags.map(({ name }) => name)).toEqual(
      expect.arrayContaining(attack.flag === undefined ? [] : [attack.flag]),
    );
    expect((await lab.judge(task, { files: attack.cheat }, "differential")).score).toBe(0);
    expect(await lab.judge(task, { files: attack.twin }, "tests")).toMatchObject({ score: 1 });
    expect(await lab.judge(task, { files: attack.twin }, "differential")).toMatchObject({ score: 1 });
  });
}

test("no sandbox is left", async () => {
  expect(await lab.sandboxesLeft()).toBe(0);
});
