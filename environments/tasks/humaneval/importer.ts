import { gunzipSync } from "node:zlib";
import { taskInvalid } from "../folder-tree.ts";
import { requireImportSource } from "../import-source.ts";
import type { ImportedTask, Importer, ImportOptions } from "../importers.ts";
import { writeImported } from "../write-imported.ts";
import { humanevalFolder } from "./folder.ts";
import { HumanEvalProblem } from "./problem.ts";

/** The published file is 214 KB unpacked; variants of the suite reach some tens of megabytes. */
const MAX_UNPACKED_BYTES = 256 * 1024 * 1024;

export const humanevalImporter: Importer = {
  format: "humaneval",
  description: "HumanEval's JSON lines, also gzipped: one Python function per task, judged by tests and differential",
  import: importHumanEval,
};

async function* importHumanEval(
  upload: Uint8Array,
  into: string,
  options: ImportOptions,
): AsyncGenerator<ImportedTask> {
  const source = requireImportSource(options.source ?? "humaneval");
  const lines = unpack(upload).split("\n");
  let seen = 0;
  for (const [index, line] of lines.entries()) {
    if (line.trim() === "") continue;
    seen += 1;
    const problem = parseProblem(line);
    if (typeof problem === "string") {
      yield { id: `line ${index + 1}`, status: "failed", reason: problem };
      continue;
    }
    const id = `${source}/${problem.task_id.replaceAll("/", "_")}`;
    const tree = humanevalFolder(id, problem);
    yield typeof tree === "string" ? { id, status: "failed", reason: tree } : await writeImported(into, id, tree);
  }
  if (seen === 0) throw taskInvalid("humaneval import", "the upload holds no lines");
}

function unpack(upload: Uint8Array): string {
  const gzipped = upload[0] === 0x1f && upload[1] === 0x8b;
  try {
    const bytes = gzipped ? gunzipSync(upload, { maxOutputLength: MAX_UNPACKED_BYTES }) : upload;
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw taskInvalid("humaneval import", "the upload is neither JSON lines nor gzipped JSON lines", error);
  }
}

/** A text says what is wrong with the line. */
function parseProblem(line: string): HumanEvalProblem | string {
  try {
    const parsed = HumanEvalProblem.safeParse(JSON.parse(line));
    if (parsed.success) return parsed.data;
    return parsed.error.issues.map((issue) => `${issue.path.join(".") || "(line)"}: ${issue.message}`).join("; ");
  } catch (error) {
    return `not JSON: ${error instanceof Error ? error.message : String(error)}`;
  }
}
