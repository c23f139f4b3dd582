import { readFile } from "node:fs/promises";

/** Programs that run in sandboxes; passed on the command line, so that they are in none of its files. */
const here = (name: string) => readFile(new URL(name, import.meta.url), "utf8");

export type ProgramLanguage = "python" | "javascript";

const FILES = {
  subject: { python: "./subject_harness.py", javascript: "./subject-harness.mjs" },
  judge: { python: "./judge_runner.py", javascript: "./judge-runner.mjs" },
} as const;

export interface ProgramInvocation {
  /** Name of the interpreter among the image's runtimes. */
  readonly interpreter: string;
  /** Arguments that follow the interpreter. */
  readonly argv: readonly string[];
}

const known = new Map<string, Promise<ProgramInvocation>>();

/** How to start our part in a sandbox: isolated from the workspace, the environment and the user's own files. */
export function programFor(role: keyof typeof FILES, language: ProgramLanguage): Promise<ProgramInvocation> {
  const key = `${role} ${language}`;
  const made = known.get(key) ?? assemble(role, language);
  known.set(key, made);
  return made;
}

async function assemble(role: keyof typeof FILES, language: ProgramLanguage): Promise<ProgramInvocation> {
  const body = await here(FILES[role][language]);
  if (language === "python")
    return { interpreter: "python3", argv: ["-I", "-S", "-B", "-c", `${await here("./typed_json.py")}\n${body}`] };
  return {
    interpreter: "node",
    argv: ["--no-warnings", "-e", `(() => {\n${await here("./typed-json.mjs")}\n${body}\n})();`],
  };
}
