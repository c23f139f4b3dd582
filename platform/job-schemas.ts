import { BuildJob, EpisodeJob, ImportJob, type QueueName, ValidationJob, VerifyJob } from "../core/jobs.ts";

export interface JobOf {
  episode: EpisodeJob;
  verify: VerifyJob;
  import: ImportJob;
  validation: ValidationJob;
  build: BuildJob;
}

/** What a job of each queue carries. Never a secret: Redis and the dashboard show it. */
export const jobSchemas: { readonly [Q in QueueName]: { parse(value: unknown): JobOf[Q] } } = {
  episode: EpisodeJob,
  verify: VerifyJob,
  import: ImportJob,
  validation: ValidationJob,
  build: BuildJob,
};
