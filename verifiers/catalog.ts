import type { Task } from "../core/task.ts";
import type { Verifier } from "../core/verifier.ts";
import { differential } from "./differential/differential.ts";
import { stdio } from "./stdio/stdio.ts";
import { tests } from "./tests/tests.ts";

/** Every verifier there is. A new one is a folder and a line here. */
export const verifiers: readonly Verifier[] = [tests, stdio, differential];

export const findVerifier = (id: string): Verifier | undefined => verifiers.find((verifier) => verifier.id === id);

/** Those that can judge the task. */
export const eligibleVerifiers = (task: Task): Verifier[] =>
  verifiers.filter((verifier) => verifier.mismatch(task) === null);
