import * as z from "zod";

/** One line of the published file (github.com/openai/human-eval). */
export const HumanEvalProblem = z.object({
  task_id: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,120}$/),
  prompt: z.string(),
  entry_point: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/),
  canonical_solution: z.string(),
  test: z.string(),
});
export type HumanEvalProblem = z.infer<typeof HumanEvalProblem>;
