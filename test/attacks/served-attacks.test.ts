import { expect, test } from "vitest";
import type { Judgement } from "../../core/verifier.ts";
import { seededRandom } from "../../verifiers/differential/random.ts";
import { JudgingLab } from "../judging.ts";
import { functionAttacks } from "./function-attacks.ts";
import { spreadTask } from "./spread-task.ts";

/** Cheats that take all of a sandbox's time: how far they come differs from run to run, whoever judges. */
const SLOW = ["an endless loop", "all the memory there is", "a fork bomb"];
const LANES = 3;
/** Some 120 judgements, on a machine that may be busy with other tests. */
const ALL_MS = 300_000;
/** Long enough that no answer is late on a busy machine. */
const task = spreadTask(30);

test(
  "judges that serve say the same of every cheat and twin as fresh ones, in any order and at once",
  async () => {
    const attempts = functionAttacks
      .filter(({ name }) => !SLOW.includes(name))
      .flatMap(({ cheat, twin }) => [cheat, twin]);
    expect(attempts.length).toBeGreaterThan(30);
    await using fresh = await JudgingLab.open({ maxRuns: 1 });
    await using serving = await JudgingLab.open();
    const random = seededRandom(20_251_125);
    const order = attempts
      .flatMap((_, at) => [at, at])
      .map((at) => ({ at, place: random.below(2 ** 30) }))
      .sort((a, b) => a.place - b.place)
      .map(({ at }) => at);
    const due: Judgement[] = [];
    for (const files of attempts) due.push(await fresh.judge(task, { files }, "tests"));
    const lane = async () => {
      for (let at = order.pop(); at !== undefined; at = order.pop()) {
        const judged = await serving.judge(task, { files: attempts[at] ?? {} }, "tests");
        expect([at, judged]).toEqual([at, due[at]]);
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    expect(serving.servers.idle).toBeGreaterThan(0);
    expect(await serving.sandboxesLeft()).toBe(0);
  },
  ALL_MS,
);
