import { randomUUID } from "node:crypto";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { parse, stringify } from "smol-toml";
import * as z from "zod";
import { GymError } from "../../core/errors.ts";
import { type Digest, sha256 } from "../../core/ids.ts";
import { taskImageName } from "../../core/images.ts";
import { type SandboxLimits, WORKSPACE } from "../../core/sandbox.ts";
import {
  EGRESS,
  type FileTree,
  type ScriptedChange,
  type Task,
  type TaskFile,
  TaskToml,
  type TaskVerifier,
} from "../../core/task.ts";
import { otherName, workdirMisfit } from "../../core/workdir.ts";
import { readTree, requireSafePath, requireText, subtree, taskInvalid, treeDigest } from "./folder-tree.ts";

/**
 * The native folder of a task (docs/task-format.md):
 *   task.toml, instruction.md
 *   environment/   starting files of the workspace, as they are; with a Dockerfile instead what the task's image is built from
 *   tests/<dir>/   hidden files, one folder per `[[verifiers]]` that names it
 *   solution/      files/ to write, `deleted` (one path per line), solve.sh run after both
 *   cheats/<name>/ the same three, and cheat.toml with its description
 */

const DEFAULT_WALL_S = 1800;
const MIB = 1024 * 1024;

const CheatToml = z.strictObject({ description: z.string().min(1) });

/** Reads one task. What breaks the format is a GymError `task_invalid` that names the file and the key. */
export async function readTaskFolder(dir: string): Promise<Task> {
  const tree = await readTree(dir).catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT")
      throw taskInvalid(dir, "there is no such folder", error);
    throw error;
  });
  const toml = parseToml(TaskToml, fileText(tree, dir, "task.toml"), join(dir, "task.toml"));
  const instruction = stripCanary(fileText(tree, dir, "instruction.md"));
  if (instruction.trim() === "") throw taskInvalid(join(dir, "instruction.md"), "must say what to do, but it is empty");
  const { name: id, description, keywords } = toml.task;
  const environment = subtree(tree, "environment");
  const isOwn = toml.polygym.image === undefined && environment.has("Dockerfile");
  const workdir = workdirOf(toml, join(dir, "task.toml"));
  const context = isOwn ? { files: environment, digest: contextDigest(environment, workdir) } : null;
  const allowedHosts = allowedHostsOf(toml, join(dir, "task.toml"));
  return {
    id,
    version: treeDigest(tree),
    source: id.slice(0, id.indexOf("/")),
    title: titleOf(instruction) ?? id.slice(id.indexOf("/") + 1),
    description,
    keywords,
    split: toml.polygym.split,
    cluster: toml.polygym.cluster ?? id,
    kind: toml.polygym.kind,
    language: toml.polygym.language,
    image: toml.polygym.image ?? (context === null ? "host" : taskImageName(context.digest)),
    context,
    workdir,
    runtimes: [...toml.polygym.runtimes, ...(allowedHosts.length > 0 ? [EGRESS] : [])],
    instruction,
    files: context === null ? environment : new Map(),
    setup: toml.polygym.setup ?? null,
    allowedProtected: toml.polygym.allowed_protected,
    limits: limitsOf(toml),
    allowedHosts,
    wallS: toml.agent.timeout_sec ?? DEFAULT_WALL_S,
    verifierS: toml.verifier.timeout_sec,
    gold: goldOf(tree, dir),
    cheats: cheatsOf(tree, dir),
    verifiers: verifiersOf(toml, tree, dir),
  };
}

/** Of what a Dockerfile's image is made from: the working folder; names, contents and which files can be run. */
function contextDigest(files: FileTree, workdir: string | null): Digest {
  const lines = [...files].map(([path, { data, mode }]) => `${path}\0${mode & 0o111}\0${sha256(data)}\n`);
  return sha256([`${workdir ?? ""}\n`, ...lines].join(""));
}

/** The text of a `task.toml`. */
export const taskTomlText = (toml: z.input<typeof TaskToml>): string => `${stringify(toml)}\n`;

/** A file of a task folder that holds text. Scripts get the mode of a program. */
export const textFile = (text: string, mode = 0o644): TaskFile => ({ data: Buffer.from(text), mode });

/**
 * Writes a task folder whole or not at all and answers the task that it reads as; one that was there is replaced, unless it
 * is already the same. `tree` has every file of the folder, `task.toml` too. What breaks the format is `task_invalid` and
 * leaves nothing behind.
 */
export async function writeTaskFolder(dir: string, tree: FileTree): Promise<Task> {
  const fresh = join(dirname(dir), `.${basename(dir)}.${randomUUID()}`);
  try {
    for (const [path, { data, mode }] of tree) {
      requireSafePath(path, dir);
      await mkdir(dirname(join(fresh, path)), { recursive: true });
      await writeFile(join(fresh, path), data, { mode });
    }
    const task = await readTaskFolder(fresh).catch((error: unknown) => {
      throw error instanceof GymError ? taskInvalid(dir, error.message.replaceAll(`${fresh}/`, ""), error) : error;
    });
    await replaceFolder(fresh, dir);
    return task;
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

/** Others that replace the same folder get in between at most so often. */
const REPLACE_ROUNDS = 20;

/** Puts `fresh` in the place of `dir`, which is never half there. Another process may be doing the same. */
async function replaceFolder(fresh: string, dir: string): Promise<void> {
  for (let round = 0; ; round++) {
    try {
      // Works where there is nothing.
      return await rename(fresh, dir);
    } catch (error) {
      if (!isOccupied(error) || round === REPLACE_ROUNDS) throw error;
    }
    if (await haveSameFiles(dir, fresh)) return;
    const old = `${fresh}.old${round}`;
    await rename(dir, old).catch(() => undefined); // somebody else took it away
    await rm(old, { recursive: true, force: true });
  }
}

async function haveSameFiles(dir: string, fresh: string): Promise<boolean> {
  const [there, wanted] = await Promise.all([
    readTree(dir).catch((): FileTree => new Map()), // what cannot be read is replaced
    readTree(fresh),
  ]);
  const isSame = ([path, file]: [string, TaskFile]): boolean => {
    const other = there.get(path);
    return other?.mode === file.mode && Buffer.compare(other.data, file.data) === 0;
  };
  return there.size === wanted.size && [...wanted].every(isSame);
}

const isOccupied = (error: unknown): boolean =>
  error instanceof Error && "code" in error && (error.code === "ENOTEMPTY" || error.code === "EEXIST");

function fileText(tree: FileTree, dir: string, path: string): string {
  const file = tree.get(path);
  if (file === undefined) throw taskInvalid(join(dir, path), "is missing");
  return requireText(file, join(dir, path));
}

function parseToml<S extends z.ZodType>(schema: S, text: string, where: string): z.infer<S> {
  let raw: unknown;
  try {
    raw = parse(text);
  } catch (error) {
    throw taskInvalid(where, `is not TOML: ${error instanceof Error ? error.message : String(error)}`, error);
  }
  const parsed = schema.safeParse(raw);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => `${issue.path.join(".") || "(top)"}: ${issue.message}`);
  throw taskInvalid(where, problems.join("; "));
}

/** Drops the comment lines at the top by which data sets mark themselves, as Harbor does. */
function stripCanary(text: string): string {
  const lines = text.split("\n");
  const canary = /^(<!--.*canary.*-->|#.*canary.*)\s*$/i;
  if (!canary.test(lines[0] ?? "")) return text;
  const first = lines.findIndex((line) => !canary.test(line) && line.trim() !== "");
  return first === -1 ? "" : lines.slice(first).join("\n");
}

function titleOf(instruction: string): string | null {
  return /^#\s+(\S.*)$/m.exec(instruction)?.[1]?.trim() ?? null;
}

function workdirOf({ environment: { workdir } }: TaskToml, where: string): string | null {
  const misfit = workdirMisfit(workdir ?? "");
  if (misfit !== null) throw taskInvalid(where, `environment.workdir: ${misfit}`);
  return workdir === undefined ? null : (otherName(workdir) ?? WORKSPACE);
}

function allowedHostsOf({ environment }: TaskToml, where: string): readonly string[] {
  const { network_mode: mode, allowed_hosts: hosts = [] } = environment;
  if (mode === "allowlist" && hosts.length === 0)
    throw taskInvalid(where, "environment.allowed_hosts: an allowlist names at least one host");
  if (mode !== "allowlist" && hosts.length > 0)
    throw taskInvalid(where, 'environment.allowed_hosts: goes with network_mode = "allowlist"');
  return hosts;
}

function limitsOf({ environment }: TaskToml): Partial<SandboxLimits> {
  return {
    ...(environment.cpus === undefined ? {} : { cpus: environment.cpus }),
    ...(environment.memory_mb === undefined ? {} : { memoryBytes: environment.memory_mb * MIB }),
    ...(environment.storage_mb === undefined ? {} : { diskBytes: environment.storage_mb * MIB }),
  };
}

function changeOf(tree: FileTree, where: string, name: string, description: string): ScriptedChange {
  const list = tree.get("deleted");
  const deleted =
    list === undefined
      ? []
      : requireText(list, join(where, "deleted"))
          .split("\n")
          .filter((line) => line !== "");
  for (const path of deleted) requireSafePath(path, join(where, "deleted"));
  const script = tree.get("solve.sh");
  const change: ScriptedChange = {
    name,
    description,
    files: subtree(tree, "files"),
    deleted,
    script: script === undefined ? null : requireText(script, join(where, "solve.sh")),
  };
  if (change.files.size === 0 && deleted.length === 0 && change.script === null)
    throw taskInvalid(where, "changes nothing: it needs files/, deleted or solve.sh");
  return change;
}

function goldOf(tree: FileTree, dir: string): ScriptedChange {
  return changeOf(subtree(tree, "solution"), join(dir, "solution"), "gold", "The reference solution");
}

function cheatsOf(tree: FileTree, dir: string): ScriptedChange[] {
  const cheats = subtree(tree, "cheats");
  const names = new Set([...cheats.keys()].map((path) => path.slice(0, path.indexOf("/"))));
  return [...names].map((name) => {
    const where = join(dir, "cheats", name);
    if (name === "") throw taskInvalid(join(dir, "cheats"), "holds one folder per cheat, no files");
    const files = subtree(cheats, name);
    const { description } = parseToml(CheatToml, fileText(files, where, "cheat.toml"), join(where, "cheat.toml"));
    return changeOf(files, where, name, description);
  });
}

function verifiersOf(toml: TaskToml, tree: FileTree, dir: string): TaskVerifier[] {
  const where = join(dir, "task.toml");
  const verifiers = toml.verifiers.map(({ id, role, dir: folder, config }, i): TaskVerifier => {
    const key = `verifiers.${i}`;
    if (toml.verifiers.findIndex((other) => other.id === id) !== i)
      throw taskInvalid(where, `${key}.id: ${id} is listed twice`);
    if (folder === undefined) return { id, role, config, files: new Map() };
    requireSafePath(folder, `${where}: ${key}.dir`);
    if (!folder.startsWith("tests/"))
      throw taskInvalid(where, `${key}.dir: hidden files live below tests/, got ${folder}`);
    const files = subtree(tree, folder);
    if (files.size === 0) throw taskInvalid(where, `${key}.dir: there are no files in ${folder}`);
    return { id, role, config, files };
  });
  if (!verifiers.some(({ role }) => role === "train"))
    throw taskInvalid(where, "verifiers: at least one must have the role train");
  return verifiers;
}
