import * as z from "zod";
import type { Framework } from "../../core/framework.ts";
import { sha256, TaskId } from "../../core/ids.ts";
import type { ScriptedPolicy } from "../../core/policy.ts";
import type { FileTree, Split, Task, TaskCatalog, TaskSummary } from "../../core/task.ts";
import type { Verifier } from "../../core/verifier.ts";
import type { Catalog } from "../../server/parts.ts";

const file = (text: string) => ({ data: Buffer.from(text), mode: 0o644 });
const noFiles: FileTree = new Map();

function task(name: string, split: Split, options: { runtimes?: string[]; verifiers?: string[] } = {}): Task {
  const id = TaskId.parse(`lab/${name}`);
  const change = {
    name: "gold",
    description: "",
    files: new Map([["a.txt", file("42\n")]]),
    deleted: [],
    script: null,
  };
  return {
    id,
    version: sha256(`${id}1`),
    source: "lab",
    title: name,
    description: `the task ${name}`,
    keywords: [],
    split,
    cluster: id,
    kind: "function",
    language: "python",
    image: "host",
    context: null,
    workdir: null,
    runtimes: options.runtimes ?? [],
    instruction: "write 42 into a.txt",
    files: new Map([["a.txt", file("0\n")]]),
    setup: null,
    allowedProtected: [],
    allowedHosts: [],
    limits: {},
    wallS: 900,
    verifierS: 60,
    gold: change,
    cheats: [{ ...change, name: "hard-coded" }],
    verifiers: (options.verifiers ?? ["exact"]).map((verifier) => ({
      id: verifier,
      role: "train",
      files: noFiles,
      config: {},
    })),
  };
}

export const labTasks: readonly Task[] = [
  task("answer", "train"),
  task("held-out", "dev"),
  task("hidden", "sealed"),
  task("needs-cobol", "train", { runtimes: ["cobol"] }),
];

const summaryOf = ({
  limits: _l,
  wallS: _w,
  verifierS: _v,
  gold: _g,
  cheats: _c,
  files: _f,
  setup: _s,
  ...rest
}: Task): TaskSummary => ({
  id: rest.id,
  version: rest.version,
  source: rest.source,
  title: rest.title,
  description: rest.description,
  keywords: [...rest.keywords],
  split: rest.split,
  cluster: rest.cluster,
  kind: rest.kind,
  language: rest.language,
  image: rest.image,
  runtimes: [...rest.runtimes],
  verifiers: rest.verifiers.map(({ id, role }) => ({ id, role })),
});

const tasks: TaskCatalog = {
  list: async () => labTasks.map(summaryOf),
  quarantined: async () => [],
  load: async (id) => labTasks.find((candidate) => candidate.id === id) ?? null,
  loadVersion: async (id, version) => labTasks.find((task) => task.id === id && task.version === version) ?? null,
  refresh: async () => undefined,
};

const notHere = (): never => {
  throw new Error("a server opens no framework and runs no verifier");
};

function framework(
  id: string,
  accepts: "message" | "text",
  split: Split,
  intents: ("write" | "delete" | "run" | "finish")[],
): Framework {
  return {
    id,
    version: "1",
    title: id,
    description: `the framework ${id}`,
    split,
    family: "lab",
    accepts,
    axes: { encoding: accepts },
    needs: new Set(),
    intents: new Set(intents),
    config: z.strictObject({ depth: z.int().default(3) }),
    open: notHere,
    encode: () => [accepts === "text" ? { text: "x" } : { message: { role: "assistant", content: "x" } }],
  };
}

function verifier(id: string, split: Split): Verifier {
  return {
    id,
    version: "1",
    title: id,
    description: `the verifier ${id}`,
    split,
    graded: false,
    sharesProcess: () => false,
    mismatch: () => null,
    verify: notHere,
  };
}

const gold: ScriptedPolicy = {
  id: "gold",
  variants: () => ["gold"],
  intents: () => [{ type: "write", path: "a.txt", before: "0\n", content: "42\n" }, { type: "finish" }],
};
const cheat: ScriptedPolicy = {
  id: "cheat",
  variants: (one) => one.cheats.map((c) => c.name),
  intents: () => [{ type: "finish" }],
};

/** Things to name: the tests' worker does the work. */
export const labCatalog: Catalog = {
  tasks,
  frameworks: [
    framework("lab.messages", "message", "train", ["write", "delete", "run", "finish"]),
    framework("lab.prose", "text", "train", ["write", "delete", "run", "finish"]),
    framework("lab.read-only", "message", "train", ["run", "finish"]),
    framework("lab.secret", "message", "sealed", ["write", "delete", "run", "finish"]),
  ],
  verifiers: [verifier("exact", "train"), verifier("shadowed", "train"), verifier("sealed-one", "sealed")],
  policies: [gold, cheat],
  formats: ["folder", "humaneval"],
};
