import { WORKSPACE } from "./sandbox.ts";

/**
 * A task's own working folder, such as /app: `environment.workdir` of its task.toml, else the WORKDIR of its image. It becomes
 * another name of the workspace, by a link (docs/adr/0015-one-workspace.md); these are the rules for which can.
 */

/** The system's, and what is for a moment: nothing at or below them. */
const CLOSED = [
  ...["/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/sys", "/tmp"],
  ...["bin", "games", "include", "lib", "lib32", "lib64", "libexec", "libx32", "sbin", "share"].flatMap((name) => [
    `/usr/${name}`,
    `/usr/local/${name}`,
  ]),
  ...["cache", "lib", "lock", "log", "run", "spool", "tmp"].map((name) => `/var/${name}`),
  "/.polygym",
];
/** Those that hold others: a folder below them is fine. */
const SHARED = ["/home", "/opt", "/usr", "/usr/local", "/usr/local/src", "/usr/src", "/var"];
/** Where images of languages start, with the toolchain's own files: golang's GOPATH. A folder below it is fine. */
const TOOLCHAINS = ["/go", "/usr/local/go"];
const HOME = "/root";
const MOST_CHARACTERS = 200;
const PLAIN = /^(\/[A-Za-z0-9_.@+-]+)+$/;

/** Without doubled and final slashes. */
const tidy = (folder: string): string => folder.replaceAll(/\/+/g, "/").replace(/(?<=.)\/$/, "");

/** Whether a path is `folder` or below it. */
export const isWithin = (folder: string, path: string): boolean => path === folder || path.startsWith(`${folder}/`);

/** The name that a working folder gives to the workspace; null when it gives none: there is no folder, or it is or lies in /workspace. */
export function otherName(folder: string | null | undefined): string | null {
  const path = tidy(folder ?? "");
  return path === "" || path === "/" || isWithin(WORKSPACE, path) ? null : path;
}

/** The same for the WORKDIR of an image. One that it has of its toolchain is nobody's choice, and gives none. */
export function imageName(workdir: string | null | undefined): string | null {
  const name = otherName(workdir);
  return name === null || TOOLCHAINS.includes(name) ? null : name;
}

/** Why a folder cannot be another name of the workspace and what to do, or null. */
export function workdirMisfit(folder: string): string | null {
  const path = tidy(folder);
  if (path === "" || path === "/") return null;
  const parts = path.split("/");
  if (!PLAIN.test(path) || path.length > MOST_CHARACTERS || parts.some((part) => part === "." || part === ".."))
    return `must be an absolute path of letters, digits and ._@+- without . and .., at most ${MOST_CHARACTERS} characters, got ${JSON.stringify(folder)}`;
  if (otherName(path) === null) return null;
  if (path === HOME || path.startsWith(`${HOME}/.`))
    return `${path} has the files that set programs up, those of judges too, and an attempt may not bring them: use a folder below it, such as ${HOME}/project`;
  if (TOOLCHAINS.includes(path)) return `${path} is a toolchain's own: use a folder of the project's, such as /app`;
  if (SHARED.includes(path) || CLOSED.some((closed) => isWithin(closed, path)))
    return `${path} is the system's: use a folder of the project's own, such as /app`;
  return null;
}
