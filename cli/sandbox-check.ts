import { join } from "node:path";
import * as z from "zod";
import { type Config, processEnvironment } from "../platform/config.ts";
import type { CommandContext } from "./context.ts";
import { CommandError, EXIT } from "./exit-codes.ts";
import { runNodeScript } from "./node-script.ts";

const DOCTOR = "polygym doctor --sandbox docker says what is missing";

const SandboxReport = z.union([
  z.object({
    tier: z.string(),
    mode: z.enum(["root", "user", "none"]),
    enforced: z.array(z.string()),
    missing: z.array(z.object({ what: z.string(), advice: z.string() })),
    runtimes: z.record(z.string(), z.object({ path: z.string(), version: z.string() })),
    builders: z.array(z.enum(["packages", "engine"])),
  }),
  z.object({ error: z.string() }),
]);
type SandboxReport = z.infer<typeof SandboxReport>;

/** What the sandbox tier enforces here. A process of the workers' side looks: only they may open a sandbox. */
export async function checkSandbox(config: Config, signal: AbortSignal): Promise<SandboxReport> {
  const { output } = await runNodeScript({
    argv: [join(config.root, "workers/doctor.ts")],
    environment: processEnvironment(config),
    signal,
    output: "collected",
  });
  const parsed = SandboxReport.safeParse(parseOrNull(output));
  return parsed.success ? parsed.data : { error: "the check of the sandbox ended without an answer" };
}

/** On tier docker: ends the command when the engine makes no sandbox. Later, each episode would say so. */
export async function requireEngine(config: Config, signal: AbortSignal): Promise<void> {
  if (config.tier !== "docker") return;
  const report = await checkSandbox(config, signal);
  if ("error" in report) throw new CommandError(EXIT.lacking, `no sandboxes: ${report.error}`, DOCTOR);
  if (report.mode !== "none") return;
  const [first] = report.missing;
  throw new CommandError(EXIT.lacking, `no ${first?.what ?? "sandboxes"}`, first?.advice ?? DOCTOR);
}

/** Says in one line what an ordinary user's sandboxes lack; root's lack nothing. */
export async function warnOfMissingLimits({ config, terminal, signal }: CommandContext): Promise<void> {
  if (process.getuid?.() === 0) return;
  const report = await checkSandbox(config, signal);
  if ("error" in report || report.missing.length === 0) return;
  const lacks = report.missing.map(({ what }) => what).join("; ");
  terminal.warn(`polygym: as an ordinary user the sandbox does not enforce: ${lacks}. polygym doctor says what to do.`);
}

function parseOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
