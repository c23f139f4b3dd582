import * as z from "zod";

/**
 * Codes of problems with a request and their HTTP status (api.md §1). What happened to an episode is never one of these:
 * it is an outcome with a stop reason.
 */
export const PROBLEM_STATUS = {
  invalid_request: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  unknown_task: 404,
  unknown_framework: 404,
  unknown_verifier: 404,
  conflict: 409,
  seq_mismatch: 409,
  finished: 409,
  payload_too_large: 413,
  invalid_cell: 422,
  capacity: 429,
  quota: 429,
  internal: 500,
  unavailable: 503,
} as const;
export type ProblemCode = keyof typeof PROBLEM_STATUS;

/** Codes of what we could not do. They end an episode without a reward; they never reach a caller as HTTP 5xx. */
export const FAILURE_CODES = [
  "sandbox_unavailable", // no sandbox could be opened
  "sandbox_lost", // an open one stopped answering, and not by its own program's doing
  "sandbox_killed", // its own program ended it (out of memory, a crash of its agent): the policy's doing, judged
  "image_failed", // the image that a task needs could not be built
  "runtime_missing", // the machine lacks an interpreter that the task needs
  "version_changed", // what the episode pins is here in another version only: it would not be the same environment
  "task_invalid", // a task folder breaks its format
  "verifier_failed", // a verifier's own run broke
  "store_failed",
  "queue_failed",
  "stale_term", // a newer owner exists: stop without side effects
  "timeout",
] as const;
export type FailureCode = (typeof FAILURE_CODES)[number];

/** The part of the system where a failure arose; written on the trajectory. */
export const STAGES = ["request", "queue", "boot", "step", "export", "verify", "store"] as const;
export type Stage = (typeof STAGES)[number];

export const Problem = z.object({
  type: z.string().describe("a URI that names the code, e.g. /problems/unknown_task"),
  title: z.string(),
  status: z.int(),
  detail: z.string().describe("what happened, with which value"),
  code: z.string(),
  retryable: z.boolean(),
  stage: z.string(),
  hint: z.string().describe("what to do"),
  retry_after_s: z.number().optional(),
});
export type Problem = z.infer<typeof Problem>;

const problemTitles: Record<ProblemCode, string> = {
  invalid_request: "The request is not valid",
  unauthorized: "A token is needed",
  forbidden: "This token may not do that",
  not_found: "There is no such thing",
  unknown_task: "There is no such task",
  unknown_framework: "There is no such framework",
  unknown_verifier: "There is no such verifier",
  conflict: "This id or key is taken by another body",
  seq_mismatch: "The step's number is not the next one",
  finished: "The episode takes no more steps",
  payload_too_large: "The body is too large",
  invalid_cell: "This task, framework and verifiers do not fit together",
  capacity: "No room at present",
  quota: "A quota is used up",
  internal: "The server made a mistake",
  unavailable: "The service is not ready",
};

const retryableProblems: ReadonlySet<ProblemCode> = new Set(["capacity", "quota", "unavailable", "internal"]);

/** A request that cannot be served as it is. `hint` says what to do about it. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";
  readonly code: ProblemCode;
  readonly hint: string;
  readonly retryAfterS: number | undefined;

  constructor(
    code: ProblemCode,
    detail: string,
    hint: string,
    options: { retryAfterS?: number; cause?: unknown } = {},
  ) {
    super(detail, { cause: options.cause });
    this.code = code;
    this.hint = hint;
    this.retryAfterS = options.retryAfterS;
  }

  get status(): number {
    return PROBLEM_STATUS[this.code];
  }

  toProblem(): Problem {
    return {
      type: `/problems/${this.code}`,
      title: problemTitles[this.code],
      status: this.status,
      detail: this.message,
      code: this.code,
      retryable: retryableProblems.has(this.code),
      stage: "request",
      hint: this.hint,
      ...(this.retryAfterS === undefined ? {} : { retry_after_s: this.retryAfterS }),
    };
  }
}

/** What we could not do. `cause` keeps the origin; `stage` is set once, by {@link boundary}. */
export class GymError extends Error {
  override readonly name = "GymError";
  readonly code: FailureCode;
  readonly retryable: boolean;
  stage: Stage | null = null;

  constructor(code: FailureCode, message: string, options: { retryable?: boolean; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? false;
  }
}

/** Runs `work` and attributes what it throws to `stage`, once: an error that already has a stage keeps it. */
export async function boundary<T>(stage: Stage, code: FailureCode, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ProblemError) throw error;
    const failure =
      error instanceof GymError
        ? error
        : new GymError(code, error instanceof Error ? error.message : String(error), { cause: error });
    failure.stage ??= stage;
    throw failure;
  }
}
