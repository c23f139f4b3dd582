import { GymError } from "../../core/errors.ts";
import type { Json } from "../../core/json.ts";
import type { FileTree } from "../../core/task.ts";
import type { Room } from "../../core/verifier.ts";
import type { SubjectCall } from "../calls/called-subject.ts";
import type { Deadline } from "../calls/deadline.ts";
import { type JudgeReport, runJudge } from "../calls/judge-process.ts";
import { openJudge } from "../calls/open-judge.ts";
import type { FunctionTarget } from "../calls/open-module.ts";
import { judgeFiles, languageOfFile, moduleName } from "../calls/subject-languages.ts";
import { EXPECTED_FILE } from "../tests/config.ts";
import type { DifferentialPlan, InputSource } from "./config.ts";
import { Mutator } from "./mutate.ts";
import type { DifferentialInput } from "./pinned.ts";
import { seededRandom } from "./random.ts";
import { asOurs, type ReferenceModule } from "./reference.ts";

/** Candidates per wanted input; gold rejects some. */
const CANDIDATES_PER_INPUT = 6;
/** Tries per candidate; most mutants of a small input have been there before. */
const TRIES_PER_CANDIDATE = 4;

/** Fresh inputs of this run, drawn by its secret seed, without the pinned ones. */
export async function* candidates(
  room: Room,
  plan: DifferentialPlan,
  reference: ReferenceModule | null,
  deadline: Deadline,
): AsyncIterable<DifferentialInput> {
  const { source, target } = plan;
  if (source.from === "pinned") return;
  if (source.from === "generator") return yield* await generated(room, source, deadline);
  if (target.type !== "functions" || reference === null)
    throw new GymError("task_invalid", "inputs of a command come from a generator or are pinned");
  const recorded = await recordedCalls(room, { target, file: source.file, reference, plan }, deadline);
  const random = seededRandom(room.seed);
  const mutator = new Mutator(
    random,
    recorded.flatMap(({ args }) => args),
  );
  const seen = new Set(recorded.map((call) => JSON.stringify([call.function, call.args])));
  const [first, ...others] = recorded;
  if (first === undefined) throw new GymError("verifier_failed", `${source.file} calls no function`);
  const wanted = source.count * CANDIDATES_PER_INPUT;
  for (let made = 0, tries = 0; made < wanted && tries < wanted * TRIES_PER_CANDIDATE; tries++) {
    const call = random.pick([first, ...others]);
    const input = { function: call.function, args: mutator.mutate(call.args), stdin: "", files: {} };
    const text = JSON.stringify([input.function, input.args]);
    if (seen.has(text)) continue;
    seen.add(text);
    made++;
    yield input;
  }
}

async function generated(
  room: Room,
  source: Extract<InputSource, { from: "generator" }>,
  deadline: Deadline,
): Promise<readonly DifferentialInput[]> {
  const language = languageOfFile(source.file);
  await using judge = await openJudge(room, { language, files: room.files, main: source.file });
  const report = await runJudge({
    judge,
    deadline,
    task: { task: "generate", file: source.file, seed: room.seed, count: source.count },
    answer: () => Promise.reject(new GymError("task_invalid", `${source.file} calls the subject`)),
  });
  return report.inputs;
}

/** Calls of a task's tests, by its hidden files: the same on every run, so made once per loaded task. */
const recordings = new WeakMap<FileTree, readonly SubjectCall[]>();

async function recordedCalls(
  room: Room,
  options: { target: FunctionTarget; file: string; reference: ReferenceModule; plan: DifferentialPlan },
  deadline: Deadline,
): Promise<readonly SubjectCall[]> {
  const known = recordings.get(room.files);
  if (known !== undefined) return known;
  const calls: SubjectCall[] = [];
  await asOurs(recordRun(room, { ...options, calls }, deadline));
  recordings.set(room.files, calls);
  return calls;
}

/** Runs the tests against gold and notes what they pass to it. */
async function recordRun(
  room: Room,
  options: {
    target: FunctionTarget;
    file: string;
    reference: ReferenceModule;
    plan: DifferentialPlan;
    calls: SubjectCall[];
  },
  deadline: Deadline,
): Promise<JudgeReport> {
  const { target, file, reference, plan, calls } = options;
  const language = languageOfFile(file);
  const hidden = new Map(room.files);
  hidden.delete(EXPECTED_FILE);
  await using judge = await openJudge(room, { language, files: judgeFiles(hidden, language, target), main: file });
  return await runJudge({
    judge,
    deadline,
    task: { task: "tests", file, functions: target.functions, module: moduleName(target.entry, target.language) },
    answer: async (request) => {
      if (request.type !== "call") throw new GymError("task_invalid", `${file} runs a program`);
      const call = { function: request.function, args: request.args, kwargs: request.kwargs };
      if (Object.keys(call.kwargs).length === 0) calls.push(call);
      const outcome = await reference.call(call, plan.callTimeoutMs);
      if (outcome === null) throw new GymError("verifier_failed", `gold died or hung in ${file}`);
      if (outcome.status === "broken") return { broken: outcome.reason };
      const args: { args?: readonly Json[] } = outcome.args === null ? {} : { args: outcome.args };
      return outcome.status === "returned" ? { value: outcome.value, ...args } : { raised: outcome.raised, ...args };
    },
  });
}
