import { readFile } from "node:fs/promises";

/** Programs that run in sandboxes; passed on the command line, so that they are in none of its files. */
const here = (name: string) => readFile(new URL(name, import.meta.url), "utf8");

export type ProgramLanguage = "python" | "javascript";

/** The parts of each program in order, and how it begins. Python's trusted ones serve many runs (fork_server.py). */
const PYTHON = {
  subject: { parts: ["./subject_harness.py"], start: "_serve(None)" },
  reference: {
    parts: ["./subject_harness.py", "./fork_server.py"],
    start: "_serve(_next_run(lambda: None))\n_end_run()",
  },
  judge: { parts: ["./judge_runner.py", "./fork_server.py"], start: "_judge(_next_run(_prepare_judge))\n_end_run()" },
} as const;
const JAVASCRIPT = {
  subject: "./subject-harness.mjs",
  reference: "./subject-harness.mjs",
  judge: "./judge-runner.mjs",
} as const;
type ProgramRole = keyof typeof PYTHON;

export interface ProgramInvocation {
  /** Name of the interpreter among the image's runtimes. */
  readonly interpreter: string;
  /** Arguments that follow the interpreter. */
  readonly argv: readonly string[];
  /** What it reads from its standard input before all else. (Default: nothing) */
  readonly input?: Uint8Array;
}

const known = new Map<string, Promise<ProgramInvocation>>();

/** How to start our part in a sandbox: isolated from the workspace, the environment and the user's own files. */
export function programFor(role: ProgramRole, language: ProgramLanguage): Promise<ProgramInvocation> {
  const key = `${role} ${language}`;
  const made = known.get(key) ?? assemble(role, language);
  known.set(key, made);
  return made;
}

async function assemble(role: ProgramRole, language: ProgramLanguage): Promise<ProgramInvocation> {
  if (language === "python") return { interpreter: "python3", argv: [...PYTHON_FLAGS, "-c", await pythonText(role)] };
  const text = `${await here("./typed-json.mjs")}\n${await here(JAVASCRIPT[role])}`;
  return { interpreter: "node", argv: ["--no-warnings", "-e", `(() => {\n${text}\n})();`] };
}

/** Without the environment, the user's own files, site packages at the start, and written byte code. */
const PYTHON_FLAGS = ["-I", "-S", "-B"];

const texts = new Map<ProgramRole, Promise<string>>();

/** The whole text of a Python program. */
export function pythonText(role: ProgramRole): Promise<string> {
  const made = texts.get(role) ?? pythonParts(role);
  texts.set(role, made);
  return made;
}

async function pythonParts(role: ProgramRole): Promise<string> {
  const { parts, start } = PYTHON[role];
  return [...(await Promise.all(["./typed_json.py", ...parts].map(here))), start, ""].join("\n");
}

/**
 * The same program from its compiled form: `code` is base64 of what the same interpreter's marshal wrote. It comes by standard
 * input, since the interpreter copies its arguments letter by letter, several times.
 */
export function compiledPython(code: string): ProgramInvocation {
  const input = Buffer.from(code, "base64");
  return { interpreter: "python3", argv: [...PYTHON_FLAGS, "-c", RUN_COMPILED, String(input.length)], input };
}
const RUN_COMPILED = `import marshal, posix, sys
code = b""
while len(code) < int(sys.argv[1]):
    code += posix.read(0, int(sys.argv[1]) - len(code)) or posix._exit(0)
exec(marshal.loads(code))`;
