import type { FileTree } from "../../../core/task.ts";
import { taskTomlText, textFile } from "../folder.ts";
import { sortedTree } from "../folder-tree.ts";
import { type PinnedInputs, pinnedArguments } from "./pinned.ts";
import type { HumanEvalProblem } from "./problem.ts";

const ENTRY_FILE = "solution.py";
const HIDDEN_DIR = "tests/check";
/** Reference solutions compute floats in another order than a right attempt may. */
const FLOAT_TOLERANCE = 1e-6;

/** One problem as a native task folder; a text says why it cannot be one. */
export function humanevalFolder(id: string, problem: HumanEvalProblem): FileTree | string {
  const { task_id, prompt, entry_point, canonical_solution, test } = problem;
  const head = splitPrompt(prompt, entry_point);
  if (head === null) return `prompt: does not define ${entry_point} once at the left margin`;
  if (!/^def check\(/m.test(test)) return "test: does not define check(candidate)";
  const pinned = pinnedArguments.get(task_id);
  const files: Record<string, string> = {
    "task.toml": tomlOf(id, entry_point, pinned),
    "instruction.md": instructionOf(problem),
    [`environment/${ENTRY_FILE}`]: `${withNewline(prompt)}${head.indent}raise NotImplementedError\n`,
    [`solution/files/${ENTRY_FILE}`]: `${withNewline(prompt)}${withNewline(canonical_solution)}`,
    [`${HIDDEN_DIR}/test_hidden.py`]: hiddenTests(head.prelude, test, entry_point),
    [`${HIDDEN_DIR}/expected.json`]: `${JSON.stringify(["test_hidden.py::test_check"])}\n`,
  };
  if (pinned !== undefined) files[`${HIDDEN_DIR}/pinned.json`] = pinnedJson(entry_point, pinned);
  return sortedTree(Object.entries(files).map(([path, text]) => [path, textFile(text)]));
}

function tomlOf(id: string, entryPoint: string, pinned: PinnedInputs | undefined): string {
  const entry = { entry: ENTRY_FILE, functions: [entryPoint] };
  const inputs = pinned !== undefined ? { from: "pinned" } : { from: "tests", count: 40, min_count: 5 };
  return taskTomlText({
    schema_version: "1.4",
    task: { name: id, description: `Complete the Python function ${entryPoint}.`, keywords: ["humaneval", "python"] },
    metadata: { difficulty: "easy", category: "functions" },
    agent: { timeout_sec: 900 },
    verifier: { timeout_sec: 120 },
    polygym: { kind: "function", language: "python", runtimes: ["python3"] },
    verifiers: [
      { id: "tests", dir: HIDDEN_DIR, config: { mode: "proxied", ...entry } },
      {
        id: "differential",
        dir: HIDDEN_DIR,
        config: { ...entry, inputs, tolerance: pinned?.tolerance ?? FLOAT_TOLERANCE },
      },
    ],
  });
}

/** The arguments stay the texts they are, so that the judge's own language reads them. */
function pinnedJson(entryPoint: string, { calls }: PinnedInputs): string {
  return `[\n${calls.map((args) => `  {"function": "${entryPoint}", "args": ${args}}`).join(",\n")}\n]\n`;
}

interface PromptHead {
  /** Imports and helper functions that stand before the function asked for. */
  readonly prelude: string;
  readonly indent: string;
}

function splitPrompt(prompt: string, entryPoint: string): PromptHead | null {
  const definitions = [...prompt.matchAll(new RegExp(`^def ${entryPoint}\\(`, "gm"))];
  const [definition] = definitions;
  if (definition === undefined || definitions.length > 1) return null;
  const indent = /^([ \t]+)\S/m.exec(prompt.slice(definition.index))?.[1] ?? "    ";
  return { prelude: prompt.slice(0, definition.index), indent };
}

/** Helpers of the prompt come from the trusted prompt, never from the attempt: some checks call them. */
function hiddenTests(prelude: string, test: string, entryPoint: string): string {
  return [
    `from ${ENTRY_FILE.replace(".py", "")} import ${entryPoint}\n`,
    withNewline(prelude.trim()),
    withNewline(test.trim()),
    `\ndef test_check():\n    check(${entryPoint})\n`,
  ].join("\n");
}

function instructionOf({ task_id, entry_point, prompt }: HumanEvalProblem): string {
  return `# ${task_id}: ${entry_point}

Complete the function \`${entry_point}\` in \`${ENTRY_FILE}\`, so that it does what its docstring says. Keep its name and its
parameters, and whatever else the file already defines. Use the standard library only.

\`\`\`python
${prompt.trim()}
\`\`\`
`;
}

const withNewline = (text: string): string => (text.endsWith("\n") ? text : `${text}\n`);
