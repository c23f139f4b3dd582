import { posix } from "node:path";

/** The path below `root` that `path` (relative to it, or absolute) names; null when it leaves the root or is the root. */
export function pathInside(root: string, path: string): string | null {
  if (path.includes("\0")) return null;
  const relative = posix.relative(root, posix.resolve(root, path));
  return relative === "" || relative === ".." || relative.startsWith("../") ? null : relative;
}

/** The absolute path of `path`, which is taken from `root` when it is relative. */
export const absolutePath = (root: string, path: string): string => posix.resolve(root, path);
