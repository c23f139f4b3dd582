import { extract } from "tar-stream";
import type { SubmissionInput } from "../core/api.ts";
import { DEFAULT_EPISODE_LIMITS } from "../core/episode.ts";
import { ProblemError } from "../core/errors.ts";
import type { Framework, TaskView } from "../core/framework.ts";
import { type FileResult, type Sandbox, type Submission, WORKSPACE } from "../core/sandbox.ts";
import type { Task } from "../core/task.ts";
import { applyUnifiedDiff } from "../environments/frameworks/primitives/apply-patch.ts";
import { taskView } from "../environments/task-view.ts";
import type { BaseLease } from "./bases.ts";
import type { WorkerDeps } from "./deps.ts";
import { freezeAndExport } from "./episode/ending.ts";
import { plainSubmission } from "./plain-submission.ts";

export interface SubmissionRequest {
  readonly task: Task;
  readonly lease: BaseLease;
  readonly input: SubmissionInput;
  /** Extracts the code from `text`. */
  readonly framework: Framework | null;
}

/**
 * A submission as an episode would have made it: the input is applied inside a sandbox over the task's base, which is then
 * frozen and exported; a few plain files make the same without one. Input that cannot be applied is the caller's problem.
 */
export async function submissionFrom(
  deps: WorkerDeps,
  request: SubmissionRequest,
): Promise<{ submission: Submission; flags: string[] }> {
  const { task, lease } = request;
  const plain = plainInput(request);
  if (plain !== null) return { submission: plain, flags: [] };
  await using sandbox = await deps.provider.open({
    image: task.image,
    from: lease.snapshot,
    limits: task.limits,
    owner: `verify-${task.id}`,
  });
  await applyInput(sandbox, request);
  return freezeAndExport(deps, sandbox, lease.snapshot, WORKSPACE);
}

function plainInput({ input, task, lease }: SubmissionRequest): Submission | null {
  if (!lease.plain || !("files" in input)) return null;
  const written = new Map<string, Uint8Array>();
  for (const [path, value] of Object.entries(input.files)) {
    const data = bytesOf(value);
    if (data === null) return null;
    written.set(path, data);
  }
  return plainSubmission(task, written);
}

async function applyInput(sandbox: Sandbox, { input, framework, task, lease }: SubmissionRequest): Promise<void> {
  if ("files" in input)
    return applyFiles(
      sandbox,
      Object.entries(input.files).map(([path, value]) => ({ path, data: bytesOf(value) })),
    );
  if ("archive" in input) return applyFiles(sandbox, await readArchive(Buffer.from(input.archive, "base64")));
  if ("text" in input) return applyText(sandbox, framework, taskView(task, lease.alias), input.text);
  // `git diff` of an untouched tree: nothing was changed, and that is what is judged.
  if (input.patch.trim() === "") return;
  const result = await applyUnifiedDiff(sandbox, input.patch, { alias: lease.alias });
  if (!result.ok)
    throw new ProblemError(
      "invalid_request",
      `the patch does not apply: ${result.message}`,
      "make it against the task's starting files, as a unified diff",
    );
}

interface IncomingFile {
  readonly path: string;
  /** Null deletes. */
  readonly data: Uint8Array | null;
}

const bytesOf = (value: string | { base64: string } | null): Uint8Array | null =>
  value === null ? null : typeof value === "string" ? Buffer.from(value) : Buffer.from(value.base64, "base64");

async function applyFiles(sandbox: Sandbox, files: readonly IncomingFile[]): Promise<void> {
  for (const { path, data } of files) {
    const parts = path.split("/");
    if (
      path.startsWith("/") ||
      path.includes("\0") ||
      parts.some((part) => part === "" || part === "." || part === "..")
    )
      throw new ProblemError(
        "invalid_request",
        `${JSON.stringify(path)} is not a path below the workspace`,
        "use relative paths without . or ..",
      );
    const target = `${WORKSPACE}/${path}`;
    const done: FileResult<void> = data === null ? await sandbox.remove(target) : await sandbox.write(target, data);
    if (!done.ok)
      throw new ProblemError(
        "invalid_request",
        `${path} could not be ${data === null ? "deleted" : "written"}: ${done.message}`,
        "check the path and the size",
      );
  }
}

const MAX_ARCHIVE_ENTRIES = 10_000;

async function readArchive(tar: Uint8Array): Promise<IncomingFile[]> {
  const files: IncomingFile[] = [];
  const reader = extract();
  reader.end(tar);
  try {
    for await (const entry of reader) {
      if (files.length >= MAX_ARCHIVE_ENTRIES)
        throw new ProblemError(
          "invalid_request",
          `the archive has more than ${MAX_ARCHIVE_ENTRIES} entries`,
          "send the changed files only",
        );
      const chunks: Buffer[] = [];
      for await (const chunk of entry) chunks.push(Buffer.from(chunk as Uint8Array)); // a stream of bytes
      if (entry.header.type === "directory") continue;
      if (entry.header.type !== "file")
        throw new ProblemError(
          "invalid_request",
          `${entry.header.name} is a ${entry.header.type}`,
          "only files and folders may be in the archive",
        );
      files.push({ path: entry.header.name.replace(/^\.\//, ""), data: Buffer.concat(chunks) });
    }
  } catch (error) {
    if (error instanceof ProblemError) throw error;
    throw new ProblemError(
      "invalid_request",
      `the archive is not a tar: ${error instanceof Error ? error.message : String(error)}`,
      "send base64 of an uncompressed tar",
      { cause: error },
    );
  }
  return files;
}

async function applyText(sandbox: Sandbox, framework: Framework | null, task: TaskView, text: string): Promise<void> {
  if (framework === null || framework.accepts !== "text")
    throw new ProblemError(
      "invalid_request",
      "text needs a framework whose actions are prose",
      "name one, e.g. aider.diff, or send files",
    );
  const context = {
    task,
    sandbox,
    limits: {
      toolMs: DEFAULT_EPISODE_LIMITS.tool_s * 1000,
      observationChars: DEFAULT_EPISODE_LIMITS.observation_chars,
    },
    config: framework.config.parse({}),
    seed: 0,
    resume: null,
  };
  await using session = await framework.open(context);
  await session.step({ text }, { signal: AbortSignal.timeout(context.limits.toolMs), onOutput: () => undefined });
}
