import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as z from "zod";
import type { CommandContext } from "../context.ts";
import { EXIT } from "../exit-codes.ts";
import { runNodeScript } from "../node-script.ts";
import type { Registry } from "../registry.ts";

interface TestOptions {
  readonly arguments: readonly string[];
}

export function addTest({ program, action }: Registry): void {
  program
    .command("test")
    .summary("run the tests; the last line is `N passed, N failed`")
    .argument("[arguments...]", "for vitest, e.g. the part of a file's name")
    .allowUnknownOption()
    .passThroughOptions()
    .action(action(test));
}

/** The part of vitest's JSON report that counts. */
const Report = z.object({
  numPassedTests: z.int(),
  numFailedTests: z.int(),
  numPendingTests: z.int(),
  testResults: z.array(
    z.object({ name: z.string(), status: z.string(), assertionResults: z.array(z.object({ status: z.string() })) }),
  ),
});

async function test({ config, terminal, signal }: CommandContext, options: TestOptions): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "polygym-test-"));
  await using _ = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
  const file = join(folder, "report.json");
  const vitest = join(config.root, "node_modules/vitest/vitest.mjs");
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${file}`];
  const { exitCode } = await runNodeScript({
    argv: [vitest, "run", "--root", config.root, ...reporters, ...options.arguments],
    signal,
  });
  const { passed, failed, skipped } = await counts(file);
  if (skipped > 0) terminal.print(`${skipped} skipped`);
  terminal.print(`${passed} passed, ${failed} failed`);
  // A run that counted nothing, or broke outside its tests, is not a success.
  return exitCode === 0 && failed === 0 && passed > 0 ? EXIT.done : EXIT.failed;
}

async function counts(file: string): Promise<{ passed: number; failed: number; skipped: number }> {
  const text = await readFile(file, "utf8").catch(() => null);
  if (text === null) return { passed: 0, failed: 0, skipped: 0 };
  const report = Report.parse(JSON.parse(text));
  // A file that does not load has no tests to fail: the file itself is the failure.
  const broken = report.testResults.filter(
    (one) => one.status === "failed" && !one.assertionResults.some((a) => a.status === "failed"),
  );
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + broken.length,
    skipped: report.numPendingTests,
  };
}
