import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import * as z from "zod";
import { BackgroundJob, finishJob } from "../background-job.ts";
import type { CommandContext } from "../context.ts";
import { CommandError, EXIT } from "../exit-codes.ts";
import type { Registry } from "../registry.ts";
import { openSession } from "../session.ts";

interface ImportOptions {
  readonly format: string;
  readonly file: string;
  readonly source?: string;
}

const ImportReport = z.object({
  written: z.int(),
  skipped: z.int(),
  failed: z.int(),
  problems: z.array(z.object({ task: z.string(), why: z.string() })),
});

export function addImport({ program, action }: Registry): void {
  program
    .command("import")
    .summary("turn a published data set into tasks")
    .description("Uploads a data set; each of its items becomes a task. Importing it again skips what is there.")
    .argument("<format>", "humaneval")
    .argument("<file>", "the data set as published, compressed or not")
    .option("--source <name>", "first part of the tasks' ids [the format]")
    .addHelpText("after", "\nExample: polygym import humaneval HumanEval.jsonl.gz && polygym validate 'humaneval/*'")
    .action(action(importFile));
}

async function importFile(context: CommandContext, { format, file, source }: ImportOptions): Promise<number> {
  const { terminal, signal } = context;
  const upload = await readFile(file).catch((error: unknown) => {
    throw new CommandError(
      EXIT.usage,
      `cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`,
      "give the path of a file",
    );
  });
  await using session = await openSession(context);
  const started = await session.client.post("/v1/imports", BackgroundJob, {
    query: { format, source },
    upload,
    signal,
  });
  const job = await finishJob(session.client, "/v1/imports", started, {
    signal,
    onProgress: ({ done, total }) =>
      terminal.progress(`${basename(file)}: ${done}${total === null ? "" : `/${total}`} tasks`),
  });
  terminal.progress("");
  const { written, skipped, failed, problems } = ImportReport.parse(job.report);
  if (terminal.json) terminal.print(JSON.stringify({ written, skipped, failed }));
  else terminal.print(`${written} tasks written, ${skipped} skipped, ${failed} failed`);
  for (const { task, why } of problems.slice(0, 20)) terminal.note(`  ${task}: ${why}`);
  return failed > 0 || written + skipped === 0 ? EXIT.failed : EXIT.done;
}
