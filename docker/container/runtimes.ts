import { type ImageInfo, type Sandbox, WORKSPACE } from "../../core/sandbox.ts";
import { workdirMisfit } from "../../core/workdir.ts";

/** Interpreters and tools that tasks ask for, and how each tells its version. */
const TOOLS: Readonly<Record<string, readonly string[]>> = {
  bash: ["bash", "--version"],
  python3: ["python3", "-V"],
  pytest: ["python3", "-I", "-c", "import pytest; print(pytest.__version__)"],
  node: ["node", "--version"],
  git: ["git", "--version"],
  gcc: ["gcc", "--version"],
  "g++": ["g++", "--version"],
  make: ["make", "--version"],
  go: ["go", "version"],
  rustc: ["rustc", "--version"],
  cargo: ["cargo", "--version"],
  java: ["java", "-version"],
};

/** The folders of PATH that are not in one folder, whatever name leads there; those in another one come last. */
const FOLDERS = `IFS=:
last=
for folder in $PATH; do
  case "$(cd -P -- "$folder" 2>/dev/null && pwd -P)" in
    "" | "$1" | "$1"/*) ;;
    "$2" | "$2"/*) last=$last$folder: ;;
    *) printf '%s:' "$folder" ;;
  esac
done
printf %s "$last"`;

/** Where a tool is found, and where that leads. */
const PLACE = 'place=$(command -v "$1") && echo "$place" && readlink -f -- "$place"';

/**
 * Asks a sandbox of an image for its tools. One that lies in the workspace is none: an attempt could put another in its place, and
 * judges run what is found here. One in the image's working folder counts where there is no other: a task may work elsewhere, and its
 * base says what of that folder is the workspace. Without a shell there are none: nobody could say where they lie.
 */
export async function findRuntimes(sandbox: Sandbox, workdir: string | null): Promise<ImageInfo["runtimes"]> {
  const own = [WORKSPACE, workdir !== null && workdirMisfit(workdir) === null ? workdir : WORKSPACE];
  const found: Record<string, { path: string; version: string }> = {};
  const folders = await sandbox.exec({ argv: ["sh", "-c", FOLDERS, "sh", ...own], cwd: "/", timeoutMs: 5_000 });
  const path = Buffer.from(folders.stdout).toString().replace(/:$/, "");
  const env = path === "" ? {} : { PATH: path };
  for (const [name, argv] of Object.entries(TOOLS)) {
    const asked = await sandbox.exec({ argv, env, timeoutMs: 20_000, mergeOutput: true });
    const version = Buffer.from(asked.stdout).toString().split("\n")[0]?.trim();
    if (asked.exitCode !== 0 || !version) continue;
    const placed = await sandbox.exec({ argv: ["sh", "-c", PLACE, "sh", argv[0] ?? name], env, timeoutMs: 5_000 });
    const [place, resolved = place] = Buffer.from(placed.stdout).toString().trim().split("\n");
    if (!place?.startsWith("/") || resolved?.startsWith(`${WORKSPACE}/`)) continue;
    found[name] = { path: place, version };
  }
  return found;
}
