import * as z from "zod";
import { Digest, JobId } from "./ids.ts";

/** What a host says of an image that lies there. */
export const ImageItem = z.object({
  name: z.string(),
  host: z.string().describe("machine that it lies on"),
  digest: Digest.describe("of its content; sandboxes of it carry it in their trajectory"),
  source: z.enum(["packages", "engine"]).describe("what built it"),
  bytes: z.int().describe("with the layers that it shares"),
  runtimes: z.record(z.string(), z.string()).describe("tool → version"),
  built_at: z.int(),
  used_at: z.int(),
});
export type ImageItem = z.infer<typeof ImageItem>;

/** The latest build of an image on a host. */
export const ImageBuild = z.object({
  name: z.string(),
  host: z.string(),
  job_id: JobId,
  state: z.enum(["queued", "running", "done", "failed", "cancelled"]),
  /** Of what was built: a failure counts for this definition only. */
  definition: Digest.nullable(),
  error: z.string().nullable().describe("with the end of its log"),
  at: z.int().describe("when it came into this state"),
});
export type ImageBuild = z.infer<typeof ImageBuild>;

export const ImageLog = z.object({
  name: z.string(),
  host: z.string(),
  state: ImageBuild.shape.state,
  lines: z.array(z.string()),
  next: z.int().describe("pass as `after` for what comes later"),
  dropped: z.int().describe("lines at the start that are kept no more"),
});
export type ImageLog = z.infer<typeof ImageLog>;

/** What a worker says of its images in its presence. */
export const ImagePresence = z.object({
  /** Folder that several workers of a machine share; builds are for one of them. */
  store: z.string(),
  /** What it can build with: packages of the distribution, a container engine. */
  builders: z.array(z.enum(["packages", "engine"])),
  /** Images that tasks may name here, built or not. */
  names: z.array(z.string()),
});
export type ImagePresence = z.infer<typeof ImagePresence>;

/** Names of images that are built from a task's own Dockerfile; the rest is of the digest of its folder. */
const TASK_IMAGE = "task-";
export const isTaskImage = (name: string): boolean => name.startsWith(TASK_IMAGE);
export const taskImageName = (context: Digest): string => `${TASK_IMAGE}${context.slice("sha256:".length, 23)}`;

export const BuildBody = z
  .strictObject({
    name: z.string().min(1).max(64).optional().describe("one of our own images, e.g. python"),
    task_id: z.string().min(1).max(256).optional().describe("the image that this task needs"),
    rebuild: z.boolean().default(false).describe("also when its definition has not changed, for newer packages"),
    host: z.string().max(256).optional().describe("where [the server's own machine, else any]"),
  })
  .refine((body) => (body.name === undefined) !== (body.task_id === undefined), "give either name or task_id");
export type BuildBody = z.infer<typeof BuildBody>;

export const CollectBody = z.strictObject({
  keep_bytes: z.int().min(0).optional().describe("what may stay [the low watermark]"),
  host: z.string().max(256).optional(),
});
export type CollectBody = z.infer<typeof CollectBody>;
