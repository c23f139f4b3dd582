import { posix } from "node:path";
import type { TaskView } from "../../../core/framework.ts";

/** The folder that paths are taken from, and its other name. */
export type PathRoot = Pick<TaskView, "workspace" | "alias">;

/**
 * The path below the workspace that `path` (relative to it, or absolute by either name) names; null when it leaves the
 * workspace or is the workspace.
 */
export function pathInside({ workspace, alias }: PathRoot, path: string): string | null {
  if (path.includes("\0")) return null;
  const absolute = posix.resolve(workspace, path);
  return below(workspace, absolute) ?? (alias === null ? null : below(alias, absolute));
}

function below(root: string, absolute: string): string | null {
  const relative = posix.relative(root, absolute);
  return relative === "" || relative === ".." || relative.startsWith("../") ? null : relative;
}

/** The absolute path of `path`, which is taken from `root` when it is relative. */
export const absolutePath = (root: string, path: string): string => posix.resolve(root, path);

/** The workspace as a prompt says it: with its other name, where it has one. */
export const workspaceName = ({ workspace, alias }: PathRoot): string =>
  alias === null ? workspace : `${workspace} (${alias} is the same folder)`;
