import { randomUUID } from "node:crypto";
import { GymError } from "../core/errors.ts";
import { type ImageInfo, type Sandbox, WORKSPACE } from "../core/sandbox.ts";

/** What a task's base tells of its workspace, before anybody has worked in it. */

const TOOLS_TIMEOUT_MS = 60_000;

/** Prints those of some paths that lead through a folder, by whatever links. */
const THROUGH = `folder=$1
shift
for tool; do
  rest=$tool at= links=0
  while [ -n "$rest" ]; do
    part=\${rest%%/*}
    case $rest in */*) rest=\${rest#*/} ;; *) rest= ;; esac
    case $part in
      "" | .) continue ;;
      ..) at=\${at%/*}; continue ;;
    esac
    at=$at/$part
    if [ "$at" = "$folder" ]; then printf '%s\\n' "$tool"; break; fi
    [ -L "$at" ] || continue
    links=$((links + 1))
    [ "$links" -le 40 ] || break
    to=$(readlink -- "$at")
    case $to in /*) at= ;; *) at=\${at%/*} ;; esac
    rest=$to/$rest
  done
done`;

export async function isEmpty(sandbox: Sandbox): Promise<boolean> {
  const listed = await sandbox.list(WORKSPACE, { maxEntries: 1 });
  return listed.ok && listed.value.length === 0;
}

/** Whether a folder is the workspace by another name. No shell is asked: an image may have none. */
export async function isWorkspace(sandbox: Sandbox, folder: string): Promise<boolean> {
  const name = `.polygym-${randomUUID()}`;
  const written = await sandbox.write(`${WORKSPACE}/${name}`, "");
  if (!written.ok) throw new GymError("task_invalid", `${folder}: nothing fits into the workspace: ${written.message}`);
  const seen = await sandbox.stat(`${folder}/${name}`);
  await sandbox.remove(`${WORKSPACE}/${name}`);
  return seen.ok;
}

/** Names of the tools that lie in the workspace or are reached through it: an attempt can put others in their place. */
export async function toolsInWorkspace(
  sandbox: Sandbox,
  runtimes: ImageInfo["runtimes"],
): Promise<ReadonlySet<string>> {
  const tools = Object.entries(runtimes);
  if (tools.length === 0) return new Set();
  const argv = ["/bin/sh", "-c", THROUGH, "sh", WORKSPACE, ...tools.map(([, { path }]) => path)];
  const asked = await sandbox.exec({ argv, cwd: "/", timeoutMs: TOOLS_TIMEOUT_MS });
  if (asked.exitCode !== 0)
    throw new GymError(
      "task_invalid",
      `image ${sandbox.image}: where its tools lie cannot be told: ${Buffer.from(asked.stderr).toString().slice(-500)}`,
    );
  const inside = new Set(Buffer.from(asked.stdout).toString().split("\n"));
  return new Set(tools.flatMap(([name, { path }]) => (inside.has(path) ? [name] : [])));
}
